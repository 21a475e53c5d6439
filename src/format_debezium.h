/*
 * format_debezium.h
 *		What the files of format debezium share with nobody else.
 */
#ifndef KAFKA_FORMAT_DEBEZIUM_H
#define KAFKA_FORMAT_DEBEZIUM_H

#include "access/htup_details.h"

#include "json_column.h"

/* How a value was encoded, as far as a schema says. */
typedef enum DebeziumEncoding
{
	ENCODED_DEFAULT,			/* as the column's type has it */
	ENCODED_DAYS,
	ENCODED_MILLIS,
	ENCODED_MICROS,
	ENCODED_NANOS,
	ENCODED_DECIMAL,			/* base64 of a number, which has a scale */
	ENCODED_JSON				/* JSON in a string */
} DebeziumEncoding;

typedef struct DebeziumMeaning
{
	DebeziumEncoding encoding;
	int			scale;
} DebeziumMeaning;

/* Indexes: whether the envelope is wrapped in a payload, and which image of the row. */
typedef enum DebeziumImage
{
	IMAGE_AFTER,
	IMAGE_BEFORE,
	IMAGE_KEY					/* of the message */
} DebeziumImage;

typedef struct DebeziumColumn
{
	KafkaJsonColumn column;
	const char *member;			/* name of the member, if it is one of the row itself */
	bool		of_row;			/* not of the envelope, or of the key alone */
	bool		in_envelope;
	const KafkaJsonMember *places[2][3];	/* NULL: not there */
	Oid			type;			/* base type of the column, or of its elements ... */
	int32		typmod;
	bool		is_array;		/* ... where it is an array */
	DebeziumMeaning meanings[2];	/* in the value, in the key */
	KafkaDatumReader *reader;
} DebeziumColumn;

/* The value, or the key. */
typedef struct DebeziumDocument
{
	KafkaJsonMember *root;
	KafkaJsonReader reader;
	const KafkaJsonMember *schema;
	const KafkaJsonMember *payload;
	char	   *known;			/* the schema's text that the meanings are of; NULL: none */
	Size		known_size;
} DebeziumDocument;

typedef struct DebeziumState
{
	KafkaJsonDecoder decoder;
	KafkaInput	jsonb;			/* of schemas */
	DebeziumDocument value;
	DebeziumDocument key;
	const KafkaJsonMember *op[2];
	const KafkaJsonMember *images[2][2];
	const KafkaJsonMember *sequence[2];
	DebeziumColumn *columns;
	int			ncolumns;
	bool		key_columns;	/* some show the key alone */

	/* variable-scale decimals */
	KafkaJsonReader decimal_reader;
	KafkaJsonMember *decimal;
	const KafkaJsonMember *decimal_scale;
	const KafkaJsonMember *decimal_value;

	/* the message read last */
	KafkaChange change;
	bool		foreign;		/* Debezium's own, and not kafka_publish()'s */
	bool		some_unavailable;
	bool		unavailable[MaxHeapAttributeNumber];	/* by attribute, of any column */
} DebeziumState;

/* ------------------------------------------------------------------------
 * format_debezium_schema.c
 * ------------------------------------------------------------------------ */

/* Note what a message's schema says of the columns; false, and reported, where it is bad. */
extern bool kafka_debezium_learn_schema(DebeziumState *state, DebeziumDocument *document,
										KafkaFailure *failure);

/* The document has none. */
extern void kafka_debezium_forget_schema(DebeziumState *state, DebeziumDocument *document);

/* ------------------------------------------------------------------------
 * format_debezium_value.c
 * ------------------------------------------------------------------------ */

/* Whether a member stands for a value that the event does not have. */
extern bool kafka_debezium_is_unavailable(const KafkaJsonMember *member);

/* A column's datum of a member that is not null. False, and reported, where it is bad. */
extern bool kafka_debezium_read_value(DebeziumState *state, const DebeziumColumn *column,
									  const KafkaJsonMember *member, DebeziumMeaning meaning,
									  KafkaFailure *failure, Datum *value, bool *isnull);

#endif							/* KAFKA_FORMAT_DEBEZIUM_H */
