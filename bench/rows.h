/*
 * rows.h
 *		The rows that the benchmark reads and sends, made from their number, so that topics, files and
 *		tables hold the same.
 */
#ifndef ROWS_H
#define ROWS_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define ROW_MAX 1024

typedef enum RowKind
{
	ROW_LOG,					/* 100 bytes, as of a web server's log */
	ROW_LONG,					/* 1,000 bytes of the same */
	ROW_JSON,					/* an object of five members */
	ROW_CSV						/* the same five fields */
} RowKind;

/* Numbers that look like chance and are the same in every run. */
static inline uint64_t
row_hash(uint64_t n)
{
	n += 0x9e3779b97f4a7c15u;
	n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9u;
	n = (n ^ (n >> 27)) * 0x94d049bb133111ebu;
	return n ^ (n >> 31);
}

/* A line of exactly so many bytes. */
static inline size_t
row_log(char *out, uint64_t n, size_t length)
{
	static const char *const paths[] = {"index.html", "cart", "search", "img/logo.png"};
	uint64_t	hash = row_hash(n);
	size_t		at;

	at = (size_t) snprintf(out, ROW_MAX, "10.%d.%d.%d GET /%s %d %d ", (int) (hash & 255),
						   (int) (hash >> 8 & 255), (int) (hash >> 16 & 255),
						   paths[hash >> 24 & 3], hash >> 32 & 15 ? 200 : 404,
						   (int) (hash >> 36 & 65535));
	while (at < length)
	{
		hash = row_hash(hash);
		at += (size_t) snprintf(out + at, ROW_MAX - at, "%016llx ", (unsigned long long) hash);
	}
	out[length] = '\0';
	return length;
}

/* Make a row; its length is returned. It has no character that a file of COPY would escape. */
static inline size_t
row_make(char *out, RowKind kind, uint64_t n)
{
	static const char *const names[] = {"Anna", "Bela", "Chidi", "Dora", "Emil", "Fatma", "Goran",
	"Hana"};
	uint64_t	hash = row_hash(n);
	const char *format;

	if (kind == ROW_LOG)
		return row_log(out, n, 100);
	if (kind == ROW_LONG)
		return row_log(out, n, 1000);

	if (kind == ROW_JSON)
		format = "{\"id\": %llu, \"customer\": \"%s %05d\", \"amount\": %d.%02d, "
			"\"created\": \"2024-%02d-%02dT%02d:%02d:%02dZ\", \"paid\": %s}";
	else
		format = "%llu,%s %05d,%d.%02d,2024-%02d-%02dT%02d:%02d:%02dZ,%s";
	return (size_t) snprintf(out, ROW_MAX, format, (unsigned long long) n, names[hash & 7],
							 (int) (hash >> 3 & 65535), (int) (hash >> 20 & 1023),
							 (int) (hash >> 30 & 63), (int) (hash >> 36 & 7) + 1,
							 (int) (hash >> 40 & 15) + 1, (int) (hash >> 44 & 15),
							 (int) (hash >> 48 & 31), (int) (hash >> 53 & 31),
							 hash >> 60 & 1 ? "true" : "false");
}

/* Which kind a word names; false where it names none. */
static inline int
row_kind(const char *word, RowKind *kind)
{
	static const char *const words[] = {"log", "long", "json", "csv"};

	for (int i = 0; i < 4; i++)
	{
		if (strcmp(word, words[i]) == 0)
		{
			*kind = (RowKind) i;
			return 1;
		}
	}
	return 0;
}

#endif							/* ROWS_H */
