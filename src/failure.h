/*
 * failure.h
 *		Data that cannot be decoded: raised as an error, or noted so that the scan goes on.
 *
 * What decodes a message reports bad data here and need not know which of the two is to happen.
 */
#ifndef KAFKA_FAILURE_H
#define KAFKA_FAILURE_H

#include "fmgr.h"
#include "lib/stringinfo.h"

typedef struct KafkaFailure
{
	bool		soft;			/* note what is bad and return; false: raise it */
	bool		failed;			/* something was noted since the last reset */
	const char *column;			/* being decoded, for error contexts; NULL: the whole message */
	StringInfoData notes;		/* the messages noted, a line each */
} KafkaFailure;

/* How a type's input function is called where its failures are to be soft. */
typedef enum KafkaInputKind
{
	KAFKA_INPUT_SOFT,			/* it raises nothing that is the data's fault */
	KAFKA_INPUT_NESTED,			/* the same, unless the data is nested very deeply */
	KAFKA_INPUT_TRY				/* it may raise anything: in a subtransaction */
} KafkaInputKind;

/* A type's input function, which is not a domain's. */
typedef struct KafkaInput
{
	FmgrInfo	function;
	Oid			ioparam;
	int32		typmod;
	KafkaInputKind kind;
} KafkaInput;

/* Allocated in the current context, which has to live as long as the failure is used. */
extern void KafkaFailureInit(KafkaFailure *failure, bool soft);

/* The slow part of KafkaFailureReset. */
extern void KafkaFailureForget(KafkaFailure *failure);

/* Before each message. */
static inline void
KafkaFailureReset(KafkaFailure *failure)
{
	if (unlikely(failure->failed))
		KafkaFailureForget(failure);
	failure->column = NULL;
}

/*
 * Report bad data: raises an error of this SQLSTATE (class 22), or notes the message. detail is a
 * sentence or NULL, and is not noted.
 */
extern void KafkaFailureReport(KafkaFailure *failure, int sqlstate, const char *detail,
							   const char *format,...) pg_attribute_printf(4, 5);

/* Note a message, for those that raise errors themselves; only where failures are soft. */
extern void KafkaFailureNote(KafkaFailure *failure, const char *message);

/* Look a type's input function up; for a domain, that of its base type is to be asked for. */
extern void KafkaFailureOpenInput(KafkaInput *input, Oid type, int32 typmod);

/*
 * Call a type's input function; string NULL is not allowed. False where what it raised was noted:
 * softly where PostgreSQL and the type can, in a subtransaction otherwise. What is no fault of the
 * data (a cancel, memory, a broken catalogue) is raised in either case.
 */
extern bool KafkaFailureInput(KafkaFailure *failure, KafkaInput *input, char *string,
							  Datum *result);

/*
 * Check a value, which may be NULL, against a domain; cache is domain_check()'s, which lives in
 * context. That is reset where the value is refused.
 */
extern bool KafkaFailureDomain(KafkaFailure *failure, Datum value, bool isnull, Oid domain,
							   void **cache, MemoryContext context);

/*
 * Call a function that may raise errors of its own, and return true; false where an error was
 * noted. For what has no soft form: costs a subtransaction where failures are soft. What the
 * function allocates is in the caller's context in both cases.
 */
typedef void (*KafkaFailureFn) (void *arg);
extern bool KafkaFailureTry(KafkaFailure *failure, KafkaFailureFn fn, void *arg);

#endif							/* KAFKA_FAILURE_H */
