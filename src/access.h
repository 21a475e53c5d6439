/*
 * access.h
 *		Statements on the extension's own tables, which no role may write to.
 */
#ifndef KAFKA_ACCESS_H
#define KAFKA_ACCESS_H

#include "utils/palloc.h"

/* As whom a statement is run, and what is put back after it. */
typedef struct KafkaAccess
{
	Oid			userid;
	int			context;
	int			guc_level;
	bool		snapshot;
	const char *schema;			/* the extension's, quoted */
	MemoryContext cxt;			/* the caller's */
} KafkaAccess;

/*
 * In between, with SPI connected, statements are run as the extension's owner, and names are found in
 * pg_catalog alone: the session's search_path, and the operators found by it, may be anybody's.
 */
extern KafkaAccess kafka_access_begin(void);
extern void kafka_access_end(const KafkaAccess *access);

/* Run a statement; SPI's result has to be the one expected. */
extern void kafka_access_execute(const char *sql, int nargs, Oid *types, Datum *values,
								 const char *nulls, int expected);

/* The extension's schema, quoted, for those that are its owner already. */
extern const char *kafka_access_schema(void);

/* A column of the i-th row that it returned; a number, where NULL is 0; a text in the caller's context. */
extern Datum kafka_access_column(uint64 i, int number, bool *isnull);
extern int64 kafka_access_int(uint64 i, int number);
extern bool kafka_access_bool(int number);	/* of the first row, and no NULL */
extern char *kafka_access_text(const KafkaAccess *access, uint64 i, int number);

/* A bytea's bytes, copied into the current context; NULL where it is NULL. */
extern const char *kafka_access_bytes(uint64 i, int number, Size *len);

/* A type of the extension's. */
extern Oid	kafka_access_type(const KafkaAccess *access, const char *name);

#endif							/* KAFKA_ACCESS_H */
