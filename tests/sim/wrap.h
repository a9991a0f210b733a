/* SPDX-License-Identifier: GPL-2.0 */
/* What the linker's --wrap makes of the C library's functions (build.mk). */
#ifndef SIM_WRAP_H
#define SIM_WRAP_H

#include <stddef.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
char *__real_strdup(const char *text);
void __real_free(void *memory);
int __real_close(int fd);

/* heap.c */
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
char *__wrap_strdup(const char *text);
void __wrap_free(void *memory);
/* process.c */
int __wrap_close(int fd);

/* module.c, for include/linux/slab.h */
void *sim_kzalloc(size_t bytes);

#endif /* SIM_WRAP_H */
