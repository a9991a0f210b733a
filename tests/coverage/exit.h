/* SPDX-License-Identifier: GPL-2.0 */
/* gcov's function, and the two that the linker makes of _exit(). */
#ifndef TESTS_COVERAGE_EXIT_H
#define TESTS_COVERAGE_EXIT_H

void __gcov_dump(void);
void __real__exit(int code) __attribute__((noreturn));
void __wrap__exit(int code) __attribute__((noreturn));

#endif /* TESTS_COVERAGE_EXIT_H */
