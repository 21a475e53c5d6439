/*
 * json_column.h
 *		A message's JSON, and a column's datum of the member that was found for it.
 *
 * What format_json.c and format_debezium.c share.
 */
#ifndef KAFKA_JSON_COLUMN_H
#define KAFKA_JSON_COLUMN_H

#include "format.h"
#include "json.h"
#include "json_datum.h"
#include "text.h"

/* What turns bytes into text. */
typedef struct KafkaJsonDecoder
{
	KafkaText	text;
	Oid			from_utf8;		/* conversion for \u escapes where the database has another
								 * encoding */
	bool		keep_utf8;		/* or they need none */
	KafkaInput	json;			/* PostgreSQL's own, to explain what is wrong */
	char	   *buffer;			/* a string without its escapes */
	Size		size;			/* of the buffer */
	MemoryContext context;		/* the decoder's own */
} KafkaJsonDecoder;

/* How a wanted column comes by its datum. */
typedef enum KafkaJsonInput
{
	KAFKA_JSON_INPUT_TEXT,		/* of a scalar's text, or an array's or object's as it is */
	KAFKA_JSON_INPUT_JSON,		/* of JSON text, a string's quotes and all */
	KAFKA_JSON_INPUT_POPULATE	/* level by level: arrays and composites */
} KafkaJsonInput;

typedef struct KafkaJsonColumn
{
	const char *name;
	int			attr;			/* index of its datum */
	KafkaJsonInput input;
	bool		check_null;		/* a domain, which may have an opinion */
	const KafkaJsonMember *member;
	KafkaDatumReader *reader;	/* text, json */
	KafkaJsonPopulator *populator;
} KafkaJsonColumn;

/* For text of an encoding; in the current context, which has to live as long as the decoder is used. */
extern void KafkaJsonOpenDecoder(KafkaJsonDecoder *decoder, int encoding);

/* A reader that uses the decoder for escapes. */
extern void KafkaJsonOpenReader(KafkaJsonDecoder *decoder, KafkaJsonReader *reader);

/* Prepare to make a field's datums; the member is the caller's to set. */
extern void KafkaJsonOpenColumn(KafkaJsonColumn *column, const KafkaField *field,
								MemoryContext rowcontext);

/* The member below root that a path leads to: names from outside in with dots between. */
extern KafkaJsonMember *KafkaJsonAddPath(KafkaJsonMember *root, const char *path,
										 const char *column);

/* The same for a field: its path, or the member of its column's name, dots and all. */
extern KafkaJsonMember *KafkaJsonAddField(KafkaJsonMember *root, const KafkaField *field);

/*
 * Find the members below root in a message's value or key, as "what" says. False, and reported,
 * where it is not text, not JSON, or no object.
 */
extern bool KafkaJsonDecode(KafkaJsonDecoder *decoder, KafkaJsonReader *reader,
							KafkaJsonMember *root, const char *what, const char *text, Size size,
							KafkaFailure *failure);

/* The text of a member, without a string's escapes; false, and reported, where it is none. */
extern bool KafkaJsonMemberText(KafkaJsonDecoder *decoder, const KafkaJsonMember *member,
								KafkaFailure *failure, const char **text, Size *size);

/* A column's datum of a member; NULL: there is none, or it is null. False where it is bad. */
extern bool KafkaJsonReadColumn(KafkaJsonDecoder *decoder, const KafkaJsonColumn *column,
								const KafkaJsonMember *member, KafkaFailure *failure,
								Datum *value, bool *isnull);

#endif							/* KAFKA_JSON_COLUMN_H */
