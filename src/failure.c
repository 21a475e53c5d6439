/*
 * failure.c
 *		Data that cannot be decoded: raised as an error, or noted so that the scan goes on.
 *
 * An error that was raised can only be caught with a subtransaction around it: what was under way
 * may have left locks, pins and snapshots behind, which nothing else gives back. From version 16 on
 * PostgreSQL's own types can report bad input without raising it, which costs nothing; the
 * subtransaction remains for what cannot: other people's types, domains' checks, and data that is
 * nested so deeply that the parser runs out of stack, which it raises.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/transam.h"
#include "access/tupdesc.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rangetypes.h"
#include "utils/resowner.h"
#include "utils/typcache.h"

#include "compat.h"
#include "failure.h"

#define KEEP_NOTES 8192

/* So many levels of nesting are no danger to the stack. */
#define SAFE_NESTING 100

void
KafkaFailureInit(KafkaFailure *failure, bool soft)
{
	memset(failure, 0, sizeof(KafkaFailure));
	failure->soft = soft;
	initStringInfo(&failure->notes);
}

/* Errors quote what they are about, which can be all of a large message. */
void
KafkaFailureForget(KafkaFailure *failure)
{
	failure->failed = false;
	if (failure->notes.maxlen > KEEP_NOTES)
	{
		failure->notes.data = repalloc(failure->notes.data, KEEP_NOTES);
		failure->notes.maxlen = KEEP_NOTES;
	}
	resetStringInfo(&failure->notes);
}

void
KafkaFailureNote(KafkaFailure *failure, const char *message)
{
	if (failure->failed)
		appendStringInfoChar(&failure->notes, '\n');
	appendStringInfoString(&failure->notes, message);
	failure->failed = true;
}

void
KafkaFailureReport(KafkaFailure *failure, int sqlstate, const char *detail,
				   const char *format,...)
{
	StringInfoData message;

	initStringInfo(&message);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&message, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&message, needed);
	}

	if (!failure->soft)
		ereport(ERROR,
				(errcode(sqlstate),
				 errmsg_internal("%s", message.data),
				 detail ? errdetail_internal("%s", detail) : 0));
	KafkaFailureNote(failure, message.data);
	pfree(message.data);
}

/* ------------------------------------------------------------------------
 * Errors that are raised
 * ------------------------------------------------------------------------ */

/*
 * True where an error is about the data. All others come from the server or from whoever runs it,
 * and the next message would not fare better.
 */
static bool
is_fault_of_data(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_CONNECTION_EXCEPTION:
		case ERRCODE_INVALID_TRANSACTION_STATE:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_CONFIG_FILE_ERROR:
		case ERRCODE_INTERNAL_ERROR:
			return false;
	}
	return sqlstate != ERRCODE_ASSERT_FAILURE;
}

/* Called for what is raised below it, and not for what a parallel worker reports. */
static void
note_sqlstate(void *arg)
{
	int			sqlstate = geterrcode();

	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_SUCCESSFUL_COMPLETION:
		case ERRCODE_WARNING:
			break;
		default:
			*(int *) arg = sqlstate;
	}
}

/*
 * Call a function in the subtransaction that was begun, and end that: what it raised, or NULL. The
 * SQLSTATE that was raised here goes to *raised.
 */
static pg_noinline ErrorData *
call_and_catch(KafkaFailureFn fn, void *arg, MemoryContext context, int *raised)
{
	ErrorData  *volatile error = NULL;
	ErrorContextCallback callback;

	PG_TRY();
	{
		callback.callback = note_sqlstate;
		callback.arg = raised;
		callback.previous = error_context_stack;
		error_context_stack = &callback;
		fn(arg);
		error_context_stack = callback.previous;
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	return error;
}

bool
KafkaFailureTry(KafkaFailure *failure, KafkaFailureFn fn, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *error;
	KafkaParallelMode mode;
	int			raised = 0;

	if (!failure->soft)
	{
		fn(arg);
		return true;
	}

	mode = kafka_begin_subtransaction();
	MemoryContextSwitchTo(context);
	error = call_and_catch(fn, arg, context, &raised);
	kafka_end_subtransaction(&mode);
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;

	if (error == NULL)
		return true;
	/* A worker's error comes in wherever interrupts are checked for, and is not the data's fault. */
	if (!is_fault_of_data(error->sqlerrcode) ||
		(error->sqlerrcode != raised && ParallelContextActive()))
		ReThrowError(error);
	KafkaFailureNote(failure, error->message);
	FreeErrorData(error);
	return false;
}

/* ------------------------------------------------------------------------
 * Input functions
 * ------------------------------------------------------------------------ */

static KafkaInputKind input_kind(Oid type);

/* The kind of a type that has values of other types in it. */
static KafkaInputKind
nested_kind(Oid inner)
{
	return input_kind(inner) == KAFKA_INPUT_TRY ? KAFKA_INPUT_TRY : KAFKA_INPUT_NESTED;
}

static KafkaInputKind
composite_kind(Oid type)
{
	KafkaInputKind kind = KAFKA_INPUT_NESTED;
	TupleDesc	desc = lookup_rowtype_tupdesc(type, -1);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);

		if (!attr->attisdropped && input_kind(attr->atttypid) == KAFKA_INPUT_TRY)
			kind = KAFKA_INPUT_TRY;
	}
	ReleaseTupleDesc(desc);
	return kind;
}

/*
 * Only PostgreSQL's own types are known to report softly, but for jsonpath, which raises what is wrong
 * with a number, and those that are names of things: they raise what is wrong with a name as such, and
 * some have the grammar read it. A range's canonical function may raise.
 */
static KafkaInputKind
input_kind(Oid type)
{
	bool		builtin = type < FirstGenbkiObjectId;
	Oid			element = get_element_type(type);

	if (!KAFKA_HAS_SOFT_INPUT)
		return KAFKA_INPUT_TRY;
	if (OidIsValid(element))
		return nested_kind(element);
	switch (get_typtype(type))
	{
		case TYPTYPE_ENUM:
			return KAFKA_INPUT_SOFT;
		case TYPTYPE_COMPOSITE:
			return composite_kind(type);
		case TYPTYPE_RANGE:
		case TYPTYPE_MULTIRANGE:
			return builtin ? KAFKA_INPUT_SOFT : KAFKA_INPUT_TRY;
		case TYPTYPE_BASE:
			break;
		default:
			return KAFKA_INPUT_TRY;
	}
	switch (type)
	{
		case JSONOID:
		case JSONBOID:
		case TSQUERYOID:
		case XMLOID:
			return KAFKA_INPUT_NESTED;
		case JSONPATHOID:
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGNAMESPACEOID:
		case REGOPERATOROID:
		case REGOPEROID:
		case REGPROCEDUREOID:
		case REGPROCOID:
		case REGROLEOID:
		case REGTYPEOID:
			return KAFKA_INPUT_TRY;
	}
	return builtin ? KAFKA_INPUT_SOFT : KAFKA_INPUT_TRY;
}

void
KafkaFailureOpenInput(KafkaInput *input, Oid type, int32 typmod)
{
	Oid			function;

	getTypeInputInfo(type, &function, &input->ioparam);
	fmgr_info(function, &input->function);
	input->typmod = typmod;
	input->kind = input_kind(type);
}

/* True where what opens a level, in any of the notations there are, occurs so often. */
static bool
may_be_nested_deeply(const char *string)
{
	int			opening = 0;

	for (; *string != '\0'; string++)
	{
		if (strchr("[{(<!", *string) != NULL && ++opening > SAFE_NESTING)
			return true;
	}
	return false;
}

typedef struct InputCall
{
	KafkaInput *input;
	char	   *string;
	Datum		result;
} InputCall;

static void
call_input(void *arg)
{
	InputCall  *call = arg;

	call->result = InputFunctionCall(&call->input->function, call->string, call->input->ioparam,
									 call->input->typmod);
}

bool
KafkaFailureInput(KafkaFailure *failure, KafkaInput *input, char *string, Datum *result)
{
	InputCall	call = {input, string, (Datum) 0};
	bool		ok;

	if (!failure->soft)
		call_input(&call);
	else if (input->kind == KAFKA_INPUT_TRY ||
			 (input->kind == KAFKA_INPUT_NESTED && may_be_nested_deeply(string)))
	{
		ok = KafkaFailureTry(failure, call_input, &call);
		*result = call.result;
		return ok;
	}
	else
	{
		char	   *message;

		if (!kafka_input_soft(&input->function, string, input->ioparam, input->typmod,
							  &call.result, &message))
		{
			KafkaFailureNote(failure, message);
			return false;
		}
	}
	*result = call.result;
	return true;
}

/* ------------------------------------------------------------------------
 * Domains
 * ------------------------------------------------------------------------ */

typedef struct DomainCall
{
	Datum		value;
	bool		isnull;
	Oid			domain;
	void	  **cache;
	MemoryContext context;
} DomainCall;

static void
call_domain(void *arg)
{
	DomainCall *call = arg;

	domain_check(call->value, call->isnull, call->domain, call->cache, call->context);
}

/*
 * The soft form of the check, which PostgreSQL has from version 17 on, would not do: an expression
 * that raises an error of its own raises it there too.
 */
bool
KafkaFailureDomain(KafkaFailure *failure, Datum value, bool isnull, Oid domain, void **cache,
				   MemoryContext context)
{
	DomainCall	call = {value, isnull, domain, cache, context};

	if (KafkaFailureTry(failure, call_domain, &call))
		return true;
	/* What the expression had allocated so far is in there. */
	*cache = NULL;
	MemoryContextReset(context);
	return false;
}
