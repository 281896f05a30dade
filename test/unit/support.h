/*
 * What every unit test includes: cmocka and what it needs before it. A failed PERRON_ASSERT fails
 * the test that ran; a test that wants one writes expect_assert_failure(call).
 */
#ifndef PERRON_TEST_UNIT_SUPPORT_H
#define PERRON_TEST_UNIT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
