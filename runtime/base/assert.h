/*
 * Assertions that stay on in release.
 *
 * They state what the code itself guarantees: preconditions, and what the last line should have
 * made true. A failed one is fail-stop: the host's hook writes what it can, and the station ends.
 * Never assert on bytes that came from outside: the same frame would fell every replica at once.
 */
#ifndef PERRON_RUNTIME_BASE_ASSERT_H
#define PERRON_RUNTIME_BASE_ASSERT_H

/* Provided by the host (station, simulator, test): says what failed and does not return. */
_Noreturn void perron_assert_failed(const char *condition, const char *file, int line);

#define PERRON_ASSERT(condition)                                                                   \
	((condition) ? (void)0 : perron_assert_failed(#condition, __FILE__, __LINE__))

#define PERRON_MUST_USE __attribute__((warn_unused_result))

#endif
