/* Big-endian loads and stores, and a bounded reader and writer for payloads. Pure; any thread. */
#ifndef PERRON_RUNTIME_BASE_BYTES_H
#define PERRON_RUNTIME_BASE_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "loads and stores swap bytes always");

static inline uint16_t perron_load16(const uint8_t *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return __builtin_bswap16(v);
}

static inline uint32_t perron_load32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

static inline uint64_t perron_load64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return __builtin_bswap64(v);
}

static inline void perron_store16(uint8_t *p, uint16_t v)
{
	v = __builtin_bswap16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void perron_store32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void perron_store64(uint8_t *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof(v));
}

/* Reads past the end give 0 and set `failed`; look at it once, at the end. */
struct perron_reader {
	const uint8_t *at;
	const uint8_t *end;
	bool failed;
};

static inline struct perron_reader perron_reader_of(const uint8_t *data, uint32_t size)
{
	return (struct perron_reader){.at = data, .end = data + size};
}

static inline const uint8_t *perron_read_bytes(struct perron_reader *r, uint32_t size)
{
	if ((uint64_t)(r->end - r->at) < size) {
		r->failed = true;
		r->at = r->end;
		return NULL;
	}
	const uint8_t *at = r->at;
	r->at += size;
	return at;
}

static inline uint8_t perron_read8(struct perron_reader *r)
{
	const uint8_t *p = perron_read_bytes(r, 1);
	return p ? *p : 0;
}

static inline uint16_t perron_read16(struct perron_reader *r)
{
	const uint8_t *p = perron_read_bytes(r, 2);
	return p ? perron_load16(p) : 0;
}

static inline uint32_t perron_read32(struct perron_reader *r)
{
	const uint8_t *p = perron_read_bytes(r, 4);
	return p ? perron_load32(p) : 0;
}

static inline uint64_t perron_read64(struct perron_reader *r)
{
	const uint8_t *p = perron_read_bytes(r, 8);
	return p ? perron_load64(p) : 0;
}

/* True if everything was there and nothing is left over. */
static inline bool perron_reader_done(const struct perron_reader *r)
{
	return !r->failed && r->at == r->end;
}

/* Writes past the end are left out and set `failed`. */
struct perron_writer {
	uint8_t *start;
	uint8_t *at;
	uint8_t *end;
	bool failed;
};

static inline struct perron_writer perron_writer_of(uint8_t *data, uint32_t size)
{
	return (struct perron_writer){.start = data, .at = data, .end = data + size};
}

static inline uint8_t *perron_write_room(struct perron_writer *w, uint32_t size)
{
	if ((uint64_t)(w->end - w->at) < size) {
		w->failed = true;
		return NULL;
	}
	uint8_t *at = w->at;
	w->at += size;
	return at;
}

static inline void perron_write_bytes(struct perron_writer *w, const void *data, uint32_t size)
{
	uint8_t *p = perron_write_room(w, size);
	if (p && size)
		memcpy(p, data, size);
}

static inline void perron_write8(struct perron_writer *w, uint8_t v)
{
	perron_write_bytes(w, &v, 1);
}

static inline void perron_write16(struct perron_writer *w, uint16_t v)
{
	uint8_t *p = perron_write_room(w, 2);
	if (p)
		perron_store16(p, v);
}

static inline void perron_write32(struct perron_writer *w, uint32_t v)
{
	uint8_t *p = perron_write_room(w, 4);
	if (p)
		perron_store32(p, v);
}

static inline void perron_write64(struct perron_writer *w, uint64_t v)
{
	uint8_t *p = perron_write_room(w, 8);
	if (p)
		perron_store64(p, v);
}

static inline uint32_t perron_writer_size(const struct perron_writer *w)
{
	return (uint32_t)(w->at - w->start);
}

#endif
