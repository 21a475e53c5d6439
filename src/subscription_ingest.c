/*
 * subscription_ingest.c
 *		A batch in its transaction: the rows, and how far they go.
 *
 * Everything is done as the subscription's owner, with the privilege checks that any statement has.
 * The owner's code (triggers, functions, the command) must not become somebody else: so roles cannot
 * be changed in there. What cannot be used is a security-restricted operation, which has no deferred
 * triggers.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "parser/parser.h"
#include "storage/lmgr.h"
#include "tcop/dest.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "subscription_private.h"
#include "worker.h"

#define MAX_BATCH_BYTES ((Size) 64 * 1024 * 1024)

/* ------------------------------------------------------------------------
 * Checks
 * ------------------------------------------------------------------------ */

static void
check_source(const KafkaSubscription *subscription)
{
	if (get_rel_name(subscription->source) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the source of subscription \"%s\" does not exist any more",
						subscription->name),
				 errhint("Use kafka_unsubscribe().")));
	if (!KafkaOptionIsTable(subscription->source))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a foreign table of kafka_fdw",
						get_rel_name(subscription->source))));
}

/*
 * Triggers and defaults of the target are its owner's code, and run as the subscription's owner: so
 * that has to be one who could have written them.
 */
static void
check_target(const KafkaSubscription *subscription)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(subscription->target));
	Form_pg_class form;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the target of subscription \"%s\" does not exist any more",
						subscription->name),
				 errhint("Use kafka_unsubscribe().")));
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (form->relkind != RELKIND_RELATION && form->relkind != RELKIND_PARTITIONED_TABLE &&
		form->relkind != RELKIND_VIEW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" cannot be the target of a subscription", NameStr(form->relname)),
				 errdetail("A target is a table, a partitioned table, or a view.")));
	if (form->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("temporary table \"%s\" cannot be the target of a subscription",
						NameStr(form->relname))));
	if (!is_member_of_role(subscription->owner, form->relowner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be a member of role \"%s\", the owner of \"%s\"",
						GetUserNameFromId(form->relowner, false), NameStr(form->relname)),
				 errdetail("The triggers of a subscription's target run as the subscription's owner.")));
	ReleaseSysCache(tuple);
}

void
kafka_subscription_check(const KafkaSubscription *subscription)
{
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(subscription->owner)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the owner of subscription \"%s\" does not exist any more",
						subscription->name),
				 errhint("Use kafka_unsubscribe().")));
	check_source(subscription);
	if (OidIsValid(subscription->target))
		check_target(subscription);
}

/* ------------------------------------------------------------------------
 * The statement
 * ------------------------------------------------------------------------ */

static char *
qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

/* "a, b": the columns that source and target both have, by name. */
static char *
common_columns(Oid source, Oid target)
{
	Relation	rel = RelationIdGetRelation(source);
	StringInfoData list;

	if (!RelationIsValid(rel))
		elog(ERROR, "could not open relation %u", source);
	initStringInfo(&list);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(rel), i);

		if (!attr->attisdropped && get_attnum(target, NameStr(attr->attname)) > 0)
			appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "",
							 quote_identifier(NameStr(attr->attname)));
	}
	RelationClose(rel);
	if (list.len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("\"%s\" and \"%s\" have no column in common", get_rel_name(source),
						get_rel_name(target)),
				 errhint("Columns of the source go to those of the target that have their names.")));
	return list.data;
}

/* What is executed for each batch. */
static char *
make_statement(const KafkaSubscription *subscription)
{
	char	   *columns;

	if (subscription->command)
		return subscription->command;
	columns = common_columns(subscription->source, subscription->target);
	return psprintf("INSERT INTO %s (%s) SELECT %s FROM %s", qualified_name(subscription->target),
					columns, columns, qualified_name(subscription->source));
}

/* Analyze a statement; with SPI connected. */
static SPIPlanPtr
prepare(const char *statement)
{
	SPIPlanPtr	plan = SPI_prepare(statement, 0, NULL);

	if (plan == NULL)
		elog(ERROR, "could not prepare a subscription's statement: %s",
			 SPI_result_code_string(SPI_result));
	if (list_length(SPI_plan_get_plan_sources(plan)) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("the command of a subscription must be one statement")));
	return plan;
}

/* EXPLAIN begins the execution, and so finds out whether the current user may do it at all. */
void
kafka_subscription_check_statement(const KafkaSubscription *subscription)
{
	char	   *statement;
	SPIPlanPtr	plan;
	CachedPlanSource *source;

	if (subscription->upsert)
	{
		kafka_subscription_check_upsert(subscription);
		return;
	}
	statement = make_statement(subscription);
	SPI_connect();
	plan = prepare(statement);
	source = (CachedPlanSource *) linitial(SPI_plan_get_plan_sources(plan));
	if (IsA(source->raw_parse_tree->stmt, TransactionStmt))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("the command of a subscription must not control transactions")));
	switch (nodeTag(source->raw_parse_tree->stmt))
	{
		case T_InsertStmt:
		case T_UpdateStmt:
		case T_DeleteStmt:
		case T_MergeStmt:
		case T_SelectStmt:
			if (SPI_execute(psprintf("EXPLAIN %s", statement), false, 0) != SPI_OK_UTILITY)
				elog(ERROR, "could not explain a subscription's statement");
			break;
		default:
			break;
	}
	SPI_finish();
}

/* ------------------------------------------------------------------------
 * A batch
 * ------------------------------------------------------------------------ */

/* A setting for the batch: until the transaction ends where that is its own. */
static void
set_for_batch(const char *name, const char *value, bool own)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 own ? GUC_ACTION_LOCAL : GUC_ACTION_SAVE, true, 0, false);
}

static int64
execute_statement(const char *statement)
{
	SPIExecuteOptions options = {0};
	int64		rows;
	int			rc;

	SPI_connect();
	options.dest = None_Receiver;
	rc = SPI_execute_plan_extended(prepare(statement), &options);
	if (rc < 0)
		ereport(ERROR,
				(errcode(rc == SPI_ERROR_TRANSACTION ? ERRCODE_INVALID_TRANSACTION_TERMINATION
						 : ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a subscription cannot execute its command: %s",
						SPI_result_code_string(rc))));
	rows = (int64) SPI_processed;
	SPI_finish();
	return rows;
}

KafkaOwnerState
kafka_subscription_enter_owner(const KafkaSubscription *subscription, bool own)
{
	KafkaOwnerState state;

	state.own = own;
	state.guc_level = NewGUCNestLevel();
	GetUserIdAndSecContext(&state.userid, &state.context);
	SetUserIdAndSecContext(subscription->owner, state.context | SECURITY_LOCAL_USERID_CHANGE);
	set_for_batch("search_path", subscription->search_path, own);
	set_for_batch("max_parallel_workers_per_gather", "0", own);
	return state;
}

void
kafka_subscription_leave_owner(const KafkaOwnerState *state)
{
	if (!state->own)
		SetUserIdAndSecContext(state->userid, state->context);
	AtEOXact_GUC(true, state->guc_level);
}

/* The messages that a batch shows, as rows. */
static int64
store_rows(const KafkaSubscription *subscription, const KafkaTable *table,
		   const KafkaIngestBatch *batch)
{
	bool		snapshot = !ActiveSnapshotSet();
	int64		rows;

	if (KafkaIngestBatchCount(batch) == 0)
		return 0;
	/* Constraints and indexes may call what looks at tables, and large values are stored in one. */
	if (snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	if (subscription->upsert)
		rows = kafka_subscription_upsert_batch(subscription, table, batch);
	else if (subscription->command ||
			 !kafka_subscription_insert_batch(subscription, table, batch, &rows))
		rows = execute_statement(make_statement(subscription));
	if (snapshot)
		PopActiveSnapshot();
	return rows;
}

/*
 * Whether an error can be the fault of a message, and not of the tables, the rights or the moment: for
 * those every message would fail.
 */
static bool
is_of_data(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION:
		case ERRCODE_CARDINALITY_VIOLATION:
		case ERRCODE_WITH_CHECK_OPTION_VIOLATION:
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
		case ERRCODE_PLPGSQL_ERROR:
			return true;
		default:
			return false;
	}
}

void
kafka_subscription_fire_deferred(void)
{
	SPI_connect();
	if (SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not check deferred constraints");
	SPI_finish();
}

char *
kafka_subscription_try_rows(const KafkaSubscription *subscription, const KafkaTable *table,
							const KafkaIngestBatch *batch, int64 *nrows)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	char	   *volatile reason = NULL;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		*nrows = store_rows(subscription, table, batch);

		/*
		 * What is put off until the commit has to fail here, where it is known which messages it
		 * is about.
		 */
		if (subscription->dead_letters)
			kafka_subscription_fire_deferred();
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(cxt);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(cxt);
		CurrentResourceOwner = owner;
		if (!is_of_data(error->sqlerrcode))
			ReThrowError(error);
		reason = error->detail ? psprintf("%s (%s)", error->message, error->detail)
			: pstrdup(error->message);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;
	return reason;
}

/*
 * Store a part of a batch, and put aside what cannot be. Where the part fails, its halves are tried:
 * so a bad message is found in as many steps as the batch's size has binary digits. A part may also
 * fail whose messages are all good (see subscription_upsert.c). Without dead letters the error of a
 * single message is raised.
 */
static int64
store_part(const KafkaSubscription *subscription, const KafkaTable *table,
		   KafkaIngestBatch *batch, int first, int n)
{
	int64		rows;
	char	   *reason;

	CHECK_FOR_INTERRUPTS();
	KafkaIngestBatchNarrow(batch, first, n);
	if (n == 1 && !subscription->dead_letters)
		return store_rows(subscription, table, batch);
	reason = kafka_subscription_try_rows(subscription, table, batch, &rows);
	if (reason == NULL)
		return rows;
	if (n == 1)
	{
		kafka_subscription_bury(subscription, table->topic, KafkaIngestBatchMessage(batch, 0),
								reason);
		pfree(reason);
		return 0;
	}
	pfree(reason);
	rows = store_part(subscription, table, batch, first, n / 2);
	return rows + store_part(subscription, table, batch, first + n / 2, n - n / 2);
}

int64
kafka_subscription_store_batch(const KafkaSubscription *subscription, KafkaFetcher *fetcher,
							   KafkaIngestBatch *batch, bool own)
{
	int			n = KafkaIngestBatchCount(batch);
	KafkaTable *table;
	KafkaOwnerState state;
	int64		rows = 0;

	kafka_subscription_check(subscription);
	/* Not the fetcher's: how messages are decoded may have been altered since it began. */
	table = KafkaOptionGetTable(subscription->source, subscription->owner);
	state = kafka_subscription_enter_owner(subscription, own);
	if (n > 0)
		rows = subscription->dead_letters || subscription->upsert
			? store_part(subscription, table, batch, 0, n)
			: store_rows(subscription, table, batch);
	KafkaIngestBatchNarrow(batch, 0, n);
	kafka_subscription_advance(subscription->id, fetcher, batch, rows);
	kafka_subscription_leave_owner(&state);
	return rows;
}

bool
kafka_subscription_agrees(const KafkaSubscription *subscription, KafkaFetcher *fetcher)
{
	const KafkaTable *table = KafkaFetcherTable(fetcher);
	const KafkaPlace *places;
	int			nplaces;
	int			nstored = 0;

	if (table->relid != subscription->source || table->server->userid != subscription->owner)
		return false;
	places = KafkaFetcherPlaces(fetcher, &nplaces);
	for (int i = 0; i < nplaces; i++)
	{
		if (!places[i].stored)
			continue;
		if (nstored >= subscription->nplaces ||
			subscription->places[nstored].partition != places[i].partition ||
			subscription->places[nstored].next != places[i].next)
			return false;
		KafkaFetcherLocate(fetcher, i, &subscription->places[nstored].row);
		nstored++;
	}
	return nstored == subscription->nplaces;
}

void
kafka_subscription_lock(int32 id)
{
	LOCKTAG		tag;

	KafkaWorkerSubscriptionLockTag(&tag, id, 0, KAFKA_SUBSCRIPTION_STORING);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

void
kafka_subscription_lock_shared(int32 id)
{
	LOCKTAG		tag;

	KafkaWorkerSubscriptionLockTag(&tag, id, 0, KAFKA_SUBSCRIPTION_STORING);
	(void) LockAcquire(&tag, ShareLock, false, false);
}

KafkaIngestLimits
kafka_subscription_limits(const KafkaSubscription *subscription, int wait)
{
	KafkaIngestLimits limits;

	limits.messages = subscription->batch_size;
	limits.bytes = MAX_BATCH_BYTES;
	limits.timeout = subscription->batch_timeout;
	limits.wait = wait;
	return limits;
}
