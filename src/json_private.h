/*
 * json_private.h
 *		What json.c and json_string.c share with nobody else.
 */
#ifndef KAFKA_JSON_PRIVATE_H
#define KAFKA_JSON_PRIVATE_H

#include "port/pg_bitutils.h"

#include "json.h"

static inline int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The four digits of a \u, or -1. */
static inline int
hex_digits(const char *p)
{
	int			result = 0;

	for (int i = 0; i < 4; i++)
	{
		int			digit = hex_digit(p[i]);

		if (digit < 0)
			return -1;
		result = result * 16 + digit;
	}
	return result;
}

#define EVERY_BYTE(c) (UINT64CONST(0x0101010101010101) * (c))

/*
 * Not zero if and only if one of eight bytes ends a run of plain characters: a quote, a backslash or
 * a control character. A subtraction below zero sets the byte's upper bit, which those that had it
 * before do not count for; it borrows from the bytes above, so only the lowest bit set is sure.
 */
static inline uint64
find_special(uint64 bytes)
{
	return (((bytes ^ EVERY_BYTE('"')) - EVERY_BYTE(1)) |
			((bytes ^ EVERY_BYTE('\\')) - EVERY_BYTE(1)) |
			(bytes - EVERY_BYTE(0x20))) & ~bytes & EVERY_BYTE(0x80);
}

static inline bool
is_special(char c)
{
	return c == '"' || c == '\\' || (unsigned char) c < 0x20;
}

/* Pass over plain characters. */
static inline const char *
skip_plain(const char *p, const char *end)
{
	while (end - p >= (ptrdiff_t) sizeof(uint64))
	{
		uint64		bytes;
		uint64		found;

		memcpy(&bytes, p, sizeof(bytes));
		found = find_special(bytes);
		if (found != 0)
		{
#ifdef WORDS_BIGENDIAN
			break;
#else
			return p + pg_rightmost_one_pos64(found) / 8;
#endif
		}
		p += sizeof(bytes);
	}
	while (p < end && !is_special(*p))
		p++;
	return p;
}

#endif							/* KAFKA_JSON_PRIVATE_H */
