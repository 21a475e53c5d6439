/*
 * text.h
 *		Text in messages: bytes in some encoding, text of the database, in both directions.
 */
#ifndef KAFKA_TEXT_H
#define KAFKA_TEXT_H

#include <limits.h>

#include "mb/pg_wchar.h"

#include "failure.h"
#include "option.h"

/* How bytes of one encoding become text of the database; a plain value without further memory. */
typedef struct KafkaText
{
	int			encoding;		/* of the bytes */
	int			verify;			/* encoding they are checked in where nothing is converted */
	Oid			conversion;		/* function that converts them, or InvalidOid */
	KafkaInvalidText invalid;	/* what becomes of bytes that are not text */
} KafkaText;

/* Raises 42883 where PostgreSQL has no conversion between the encoding and the database's. */
extern void KafkaTextInit(KafkaText *text, int encoding, KafkaInvalidText invalid);

/* The slow part of KafkaTextDecode. */
extern bool KafkaTextConvert(const KafkaText *text, const char **data, Size *len);

/*
 * Make bytes text of the database. *data and *len are left alone where the bytes are that already,
 * and otherwise point to memory of the current context; no zero follows. Bytes that are not text
 * (which a zero byte is not either), or that the database's encoding cannot express, become text of
 * the form \x... where text->invalid says so, and are left alone otherwise, for which it returns
 * false: the caller makes a NULL of them or calls KafkaTextReport.
 */
static inline bool
KafkaTextDecode(const KafkaText *text, const char **data, Size *len)
{
	if (likely(!OidIsValid(text->conversion) && *len <= INT_MAX &&
			   pg_encoding_verifymbstr(text->verify, *data, (int) *len) == (int) *len))
		return true;
	return KafkaTextConvert(text, data, len);
}

/*
 * Report, after that, what is not text, as an error (22021, 22P05) or softly. hint is a sentence on
 * what to do about it, or NULL.
 */
extern void KafkaTextReport(const KafkaText *text, const char *data, Size len, const char *hint,
							KafkaFailure *failure);

/*
 * The other way: text of the database in another encoding. *data and *len are left alone where
 * that is the same, and otherwise point to memory of the current context. 22P05 for a character
 * that the encoding does not have.
 */
extern void KafkaTextEncode(int encoding, const char **data, Size *len);

#endif							/* KAFKA_TEXT_H */
