#include <stdio.h>
#include <stdlib.h>

#include "test/fuzz/fuzz.h"

_Noreturn void perron_assert_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, condition);
	abort();
}
