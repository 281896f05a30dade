/*
 * A fuzz target: a function that takes any bytes and must neither fail an assertion nor touch
 * memory that is not its own. It asserts what it knows of the outcome by PERRON_ASSERT, which ends
 * the process here. It keeps no state from one input to the next.
 */
#ifndef PERRON_TEST_FUZZ_FUZZ_H
#define PERRON_TEST_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/assert.h"

/* libFuzzer's name. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
