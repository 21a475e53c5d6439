/*
 * subscription_process.c
 *		The processes of subscriptions: which there are, what each of them complains of, and how they
 *		are started and told of changes.
 *
 * A subscription has as many workers as it was made with, and each reads the partitions whose number is
 * its own modulo that. So one that is missing leaves partitions unread, and must not be overlooked:
 * every worker looks after the next one. Where none is left nothing is read, and who starts them again
 * is the server's launcher, kafka_resume(), or, without preloading, the first session that uses the
 * library after a restart.
 *
 * A worker has a row of its own in kafka_subscription_worker. The subscription's own row changes only
 * with its state, since a row that they all changed would have them wait for one another.
 */
#include "postgres.h"

#include <signal.h>

#include "access/relation.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "access.h"
#include "module.h"
#include "outbox.h"
#include "setting.h"
#include "subscription.h"
#include "subscription_private.h"
#include "worker.h"

/* What the transaction has to do about workers when it has committed. */
typedef struct AtCommit
{
	int32		id;				/* of a subscription, to be started; 0: none */
	int			workers;
	int			pid;			/* to be told; 0: none */
	char	   *name;
} AtCommit;

static List *at_commit = NIL;	/* of AtCommit *, in TopTransactionContext */
static bool revival_due = false;	/* the first transaction is to look for missing workers */

/* ------------------------------------------------------------------------
 * The rows of workers
 * ------------------------------------------------------------------------ */

bool
kafka_subscription_is_wanted(const KafkaSubscription *subscription)
{
	return subscription != NULL && !subscription->fenced && subscription->workers > 0 &&
		strcmp(subscription->state, "running") == 0;
}

bool
kafka_subscription_enter(int32 id, int number)
{
	Oid			types[] = {INT4OID, INT4OID, INT4OID};
	Datum		values[] = {Int32GetDatum(id), Int32GetDatum(number), Int32GetDatum(MyProcPid)};
	KafkaAccess access = kafka_access_begin();
	bool		failing;

	kafka_access_execute(psprintf("INSERT INTO %s.kafka_subscription_worker AS w (subscription, number, pid) "
								  "VALUES ($1, $2, $3) ON CONFLICT (subscription, number) "
								  "DO UPDATE SET pid = excluded.pid, group_error = NULL, group_error_at = NULL "
								  "RETURNING error IS NOT NULL", access.schema),
						 3, types, values, NULL, SPI_OK_INSERT_RETURNING);
	failing = kafka_access_bool(1);
	kafka_access_end(&access);
	return failing;
}

void
kafka_subscription_leave(int32 id, int number)
{
	Oid			types[] = {INT4OID, INT4OID, INT4OID};
	Datum		values[] = {Int32GetDatum(id), Int32GetDatum(number), Int32GetDatum(MyProcPid)};
	KafkaAccess access = kafka_access_begin();

	/* The lock is another one's by now, perhaps, and the row as well. */
	kafka_access_execute(psprintf("UPDATE %s.kafka_subscription_worker SET pid = NULL "
								  "WHERE subscription = $1 AND number = $2 AND pid = $3", access.schema),
						 3, types, values, NULL, SPI_OK_UPDATE);
	kafka_access_end(&access);
}

/* Set a worker's error, and what those who only monitor see of it; true where it had another, or none. */
static bool
note_error(int32 id, int number, const char *error, const char *shown)
{
	Oid			types[] = {INT4OID, INT4OID, TEXTOID, TEXTOID};
	Datum		values[] = {Int32GetDatum(id), Int32GetDatum(number),
		error ? CStringGetTextDatum(error) : (Datum) 0,
	shown ? CStringGetTextDatum(shown) : (Datum) 0};
	char		nulls[] = {' ', ' ', error ? ' ' : 'n', shown ? ' ' : 'n'};
	KafkaAccess access = kafka_access_begin();
	bool		changed;

	kafka_access_execute(psprintf("UPDATE %s.kafka_subscription_worker SET error = $3, error_shown = $4, "
								  "error_at = CASE WHEN $3 IS NOT NULL THEN clock_timestamp() END "
								  "WHERE subscription = $1 AND number = $2 AND error IS DISTINCT FROM $3",
								  access.schema), 4, types, values, nulls, SPI_OK_UPDATE);
	changed = SPI_processed > 0;
	kafka_access_end(&access);
	return changed;
}

void
kafka_subscription_note_retry(int32 id, int number, const char *error, const char *shown)
{
	(void) note_error(id, number, error, shown);
}

void
kafka_subscription_note_group(int32 id, int number, const char *error)
{
	Oid			types[] = {INT4OID, INT4OID, TEXTOID};
	Datum		values[] = {Int32GetDatum(id), Int32GetDatum(number),
	error ? CStringGetTextDatum(error) : (Datum) 0};
	KafkaAccess access = kafka_access_begin();

	kafka_access_execute(psprintf("UPDATE %s.kafka_subscription_worker SET group_error = $3, "
								  "group_error_at = CASE WHEN $3 IS NOT NULL THEN clock_timestamp() END "
								  "WHERE subscription = $1 AND number = $2 AND group_error IS DISTINCT FROM $3",
								  access.schema), 3, types, values, error ? NULL : "  n", SPI_OK_UPDATE);
	kafka_access_end(&access);
}

/* ------------------------------------------------------------------------
 * Looking after one another
 * ------------------------------------------------------------------------ */

/* Does the worker's session hold its lock? One that is about to begin tries for it several times. */
static bool
is_running(int32 id, int number)
{
	LOCKTAG		tag;

	KafkaWorkerSubscriptionLockTag(&tag, id, number, KAFKA_SUBSCRIPTION_RUNNING);
	return KafkaWorkerHolds(&tag);
}

/* The row of a worker that has never run; its error is visible as that of the subscription. */
static void
make_row(int32 id, int number)
{
	Oid			types[] = {INT4OID, INT4OID};
	Datum		values[] = {Int32GetDatum(id), Int32GetDatum(number)};
	KafkaAccess access = kafka_access_begin();

	kafka_access_execute(psprintf("INSERT INTO %s.kafka_subscription_worker (subscription, number) "
								  "VALUES ($1, $2) ON CONFLICT DO NOTHING", access.schema),
						 2, types, values, NULL, SPI_OK_INSERT);
	kafka_access_end(&access);
}

/* The worker runs, whatever was said of it just as it began. */
static void
take_back(int32 id, int number, const char *error)
{
	Oid			types[] = {INT4OID, INT4OID, TEXTOID};
	Datum		values[] = {Int32GetDatum(id), Int32GetDatum(number), CStringGetTextDatum(error)};
	KafkaAccess access = kafka_access_begin();

	kafka_access_execute(psprintf("UPDATE %s.kafka_subscription_worker SET error = NULL, error_shown = NULL, "
								  "error_at = NULL WHERE subscription = $1 AND number = $2 AND error = $3",
								  access.schema), 3, types, values, NULL, SPI_OK_UPDATE);
	kafka_access_end(&access);
}

void
kafka_subscription_look_after(const KafkaSubscription *subscription, int number)
{
	int			next = (number + 1) % subscription->workers;
	char	   *error;

	if (next == number)
		return;
	error = psprintf("worker %d of %d cannot start: no background worker slot is free", next + 1,
					 subscription->workers);
	if (is_running(subscription->id, next))
	{
		take_back(subscription->id, next, error);
		return;
	}
	if (KafkaWorkerStartSubscription(subscription->id, next))
		return;
	make_row(subscription->id, next);
	if (note_error(subscription->id, next, error, NULL))
		ereport(LOG,
				(errmsg("could not start worker %d of %d of subscription \"%s\": no background worker slot is free",
						next + 1, subscription->workers, subscription->name),
				 errdetail("Its partitions are not read. It is tried again every ten seconds."),
				 errhint("Increase \"max_worker_processes\".")));
}

/* ------------------------------------------------------------------------
 * From other sessions
 * ------------------------------------------------------------------------ */

static AtCommit *
remember(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	AtCommit   *entry = palloc0(sizeof(AtCommit));

	at_commit = lappend(at_commit, entry);
	MemoryContextSwitchTo(old);
	return entry;
}

void
kafka_subscription_start_at_commit(int32 id, const char *name, int workers)
{
	AtCommit   *entry;

	if (workers == 0)
		return;
	entry = remember();
	entry->id = id;
	entry->workers = workers;
	entry->name = MemoryContextStrdup(TopTransactionContext, name);
}

void
kafka_subscription_signal_at_commit(int32 id)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(id)};
	KafkaAccess access = kafka_access_begin();

	kafka_access_execute(psprintf("SELECT pid::int8 FROM %s.kafka_subscription_worker "
								  "WHERE subscription = $1 AND pid IS NOT NULL", access.schema),
						 1, types, values, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
		remember()->pid = (int) kafka_access_int(i, 1);
	kafka_access_end(&access);
}

/* The number may be another process's by now, which takes the signal for a change of the configuration. */
static void
signal_worker(int pid)
{
	PGPROC	   *proc = BackendPidGetProc(pid);

	if (proc != NULL && proc->databaseId == MyDatabaseId)
		(void) kill(pid, SIGHUP);
}

static void
start_workers(const AtCommit *entry)
{
	for (int i = 0; i < entry->workers; i++)
	{
		if (KafkaWorkerStartSubscription(entry->id, i))
			continue;
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start worker %d of %d of subscription \"%s\": no background worker slot is free",
						i + 1, entry->workers, entry->name),
				 i == 0 ? errdetail("Nothing is read.")
				 : errdetail("Its partitions are not read, until those that run can start it: they try every ten seconds."),
				 i == 0 ? errhint("Increase \"max_worker_processes\", and use kafka_resume().")
				 : errhint("Increase \"max_worker_processes\".")));
		break;
	}
}

/* The first of each subscription first. */
void
KafkaSubscriptionStartAll(void)
{
	Oid			types[] = {INT8OID, OIDOID};
	Datum		values[] = {Int64GetDatum((int64) GetSystemIdentifier()),
	ObjectIdGetDatum(MyDatabaseId)};
	KafkaAccess access = kafka_access_begin();

	kafka_access_execute(psprintf("SELECT s.id::int8, n::int8, s.name FROM %s.kafka_subscription s, "
								  "generate_series(0, s.workers - 1) n WHERE s.state = 'running' "
								  "AND s.system_identifier = $1 AND s.databaseid = $2 ORDER BY n, s.id",
								  access.schema), 2, types, values, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		int32		id = (int32) kafka_access_int(i, 1);
		int			number = (int) kafka_access_int(i, 2);

		if (is_running(id, number) || KafkaWorkerStartSubscription(id, number))
			continue;
		ereport(LOG,
				(errmsg("could not start worker %d of subscription \"%s\" of kafka_fdw: no background worker slot is free",
						number + 1, kafka_access_text(&access, i, 3)),
				 errhint("Increase \"max_worker_processes\".")));
		break;
	}
	kafka_access_end(&access);
}

/*
 * True where this database may have subscriptions: for all sessions to find out, so in microseconds. A
 * table that somebody has locked is not waited for.
 */
static bool
has_subscriptions(void)
{
	Oid			schema;
	Oid			relid;
	Relation	rel;
	bool		result;

	schema = KafkaOutboxFindSchema();
	if (!OidIsValid(schema))
		return false;
	/* There is none before version 1.0. */
	relid = get_relname_relid("kafka_subscription", schema);
	if (!OidIsValid(relid) || !ConditionalLockRelationOid(relid, AccessShareLock))
		return false;
	rel = try_relation_open(relid, NoLock);
	if (rel == NULL)
		return false;
	result = RelationGetNumberOfBlocks(rel) > 0;
	relation_close(rel, NoLock);
	return result;
}

/*
 * Without preloading nobody starts the workers with the server. So the first transaction of each session
 * that has loaded the library looks whether they are there; one that starts some itself leaves that to
 * the next.
 */
static void
revive(void)
{
	if (MyBackendType != B_BACKEND || RecoveryInProgress() || IsBinaryUpgrade ||
		kafka_mode != KAFKA_MODE_ON || !IsTransactionState() || at_commit != NIL)
		return;
	revival_due = false;
	if (has_subscriptions())
		KafkaSubscriptionStartAll();
}

/* Whoever commits it would not know of the workers. Those that run notice a change by themselves. */
static void
check_prepare(void)
{
	ListCell   *lc;

	foreach(lc, at_commit)
	{
		AtCommit   *entry = (AtCommit *) lfirst(lc);

		if (entry->id != 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot PREPARE a transaction that starts workers of subscription \"%s\"",
							entry->name)));
	}
}

static void
subscription_xact_callback(XactEvent event, void *arg)
{
	ListCell   *lc;
	List	   *entries = at_commit;

	if (event == XACT_EVENT_PRE_COMMIT && revival_due)
		revive();
	if (event == XACT_EVENT_PRE_PREPARE)
		check_prepare();
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	at_commit = NIL;
	if (event != XACT_EVENT_COMMIT)
		return;
	foreach(lc, entries)
	{
		AtCommit   *entry = (AtCommit *) lfirst(lc);

		if (entry->pid != 0)
			signal_worker(entry->pid);
		if (entry->id != 0)
			start_workers(entry);
	}
}

void
KafkaSubscriptionInit(void)
{
	RegisterXactCallback(subscription_xact_callback, NULL);
	revival_due = !process_shared_preload_libraries_in_progress;
}
