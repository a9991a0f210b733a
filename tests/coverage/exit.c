// SPDX-License-Identifier: GPL-2.0
/*
 * The harness runs each test in a child that ends with _exit(), where gcov's
 * counters would be lost: linked with --wrap=_exit, they are written first.
 */
void __gcov_dump(void) __attribute__((weak));
void __real__exit(int code) __attribute__((noreturn));
void __wrap__exit(int code) __attribute__((noreturn));

void __wrap__exit(int code)
{
	__gcov_dump();
	__real__exit(code);
}
