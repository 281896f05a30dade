/* Sentences: what decodes lies within the input, and closes with its own checksum. */
#include "drivers/sensor/nmea.h"
#include "test/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct perron_nmea_sentence sentence;
	struct perron_nmea_fix fix;

	if (size > UINT32_MAX ||
	    perron_nmea_decode(data, (uint32_t)size, &sentence) != PERRON_NMEA_GOOD)
		return 0;
	PERRON_ASSERT(size <= PERRON_NMEA_SIZE_MAX && data[0] == '$');
	for (uint32_t i = 0; i < sentence.field_count; i++) {
		const uint8_t *text = (const uint8_t *)sentence.fields[i].text;
		PERRON_ASSERT(text > data && text + sentence.fields[i].size < data + size);
	}
	if (perron_nmea_fix_of(&sentence, &fix) != PERRON_NMEA_GOOD || !fix.has_position)
		return 0;
	PERRON_ASSERT(fix.latitude_e7 >= -900000000 && fix.latitude_e7 <= 900000000);
	PERRON_ASSERT(fix.longitude_e7 >= -1800000000 && fix.longitude_e7 <= 1800000000);
	PERRON_ASSERT(fix.time_of_day_ms <= 86401000);
	return 0;
}
