/* Recorded files of any content, in each format: it ends, its times never fall, nothing overruns.
 */
#include "drivers/sensor/replay_file.h"
#include "test/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum perron_replay_format formats[] = {PERRON_REPLAY_AUTO, PERRON_REPLAY_TIMED,
							    PERRON_REPLAY_NMEA};

	for (uint32_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		struct perron_replay_file file;
		struct perron_replay_record record;
		enum perron_replay_result result;
		uint8_t buffer[32];
		uint64_t at_ns = 0;

		perron_replay_file_init(&file, data, size, formats[i], buffer, sizeof(buffer));
		while ((result = perron_replay_file_next(&file, &record)) != PERRON_REPLAY_END) {
			if (result != PERRON_REPLAY_RECORD)
				continue;
			PERRON_ASSERT(record.at_ns >= at_ns);
			PERRON_ASSERT(file.format == PERRON_REPLAY_NMEA ||
				      record.size <= sizeof(buffer));
			at_ns = record.at_ns;
		}
		PERRON_ASSERT(perron_replay_file_period_ns(&file) > at_ns);
	}
	return 0;
}
