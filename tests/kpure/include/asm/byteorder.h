/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _KPURE_BYTEORDER_H
#define _KPURE_BYTEORDER_H

#include <endian.h>
#include <linux/types.h>

#define cpu_to_le16(x) htole16(x)
#define cpu_to_le32(x) htole32(x)
#define cpu_to_le64(x) htole64(x)
#define le16_to_cpu(x) le16toh(x)
#define le32_to_cpu(x) le32toh(x)
#define le64_to_cpu(x) le64toh(x)

static inline void le32_add_cpu(__le32 *var, u32 val)
{
	*var = cpu_to_le32(le32_to_cpu(*var) + val);
}

#endif
