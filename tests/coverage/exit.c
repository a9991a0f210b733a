// SPDX-License-Identifier: GPL-2.0
/*
 * The harness runs each test in a child that ends with _exit(), where gcov's
 * counters would be lost: linked with --wrap=_exit, they are written first.
 */
#include "exit.h"

void __wrap__exit(int code)
{
	__gcov_dump();
	__real__exit(code);
}
