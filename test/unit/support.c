#include "test/unit/support.h"

#include <stdlib.h>

#include "runtime/base/assert.h"

void perron_assert_failed(const char *condition, const char *file, int line)
{
	/* Jumps back into cmocka, which says condition, file and line. */
	mock_assert(0, condition, file, line);
	abort();
}
