/*
 * worker.c
 *		Starting the extension's background workers, and telling whether they run.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/guc.h"

#include "worker.h"

#define LIBRARY "kafka_fdw"
#define RELAY_RESTART 5			/* seconds */
#define SUBSCRIPTION_RESTART 5
#define LOCK_CLASS 0x6b66		/* the fourth field of an advisory lock: SQL's are 1 and 2 */

static bool connecting = false;

void
KafkaWorkerLockTag(LOCKTAG *tag, Oid serverid, Oid mapping, KafkaRelayLock lock)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, serverid, mapping, LOCK_CLASS + (int) lock);
}

void
KafkaWorkerSubscriptionLockTag(LOCKTAG *tag, int32 id, int number, KafkaSubscriptionLock lock)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) id, (uint32) number, LOCK_CLASS + (int) lock);
}

bool
KafkaWorkerHolds(const LOCKTAG *tag)
{
	if (LockAcquire(tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	(void) LockRelease(tag, ExclusiveLock, false);
	return false;
}

void
KafkaWorkerFill(BackgroundWorker *worker, const char *function, const char *name, int restart)
{
	memset(worker, 0, sizeof(BackgroundWorker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = restart;
	strlcpy(worker->bgw_library_name, LIBRARY, sizeof(worker->bgw_library_name));
	strlcpy(worker->bgw_function_name, function, sizeof(worker->bgw_function_name));
	strlcpy(worker->bgw_name, name, sizeof(worker->bgw_name));
	strlcpy(worker->bgw_type, name, sizeof(worker->bgw_type));
}

static void
end_where_connecting_fails(int code, Datum arg)
{
	if (connecting && code != 0)
		proc_exit(0);
}

void
KafkaWorkerConnect(Oid databaseid)
{
	on_proc_exit(end_where_connecting_fails, (Datum) 0);
	connecting = true;
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(databaseid, BOOTSTRAP_SUPERUSERID, 0);
	connecting = false;
	SetConfigOption("search_path", "pg_catalog", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	/* Of the sessions of a database, which it would make that role's. */
	SetConfigOption("role", "none", PGC_SUSET, PGC_S_OVERRIDE);
	/* Of PostgreSQL 17: it ends the process. */
	if (GetConfigOption("transaction_timeout", true, false))
		SetConfigOption("transaction_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("application_name", MyBgworkerEntry->bgw_name, PGC_SUSET, PGC_S_OVERRIDE);
}

bool
KafkaWorkerStartRelay(Oid serverid, Oid mapping)
{
	BackgroundWorker worker;
	KafkaRelayArguments arguments = {MyDatabaseId, serverid, mapping};

	KafkaWorkerFill(&worker, "kafka_relay_main", "kafka_fdw relay", RELAY_RESTART);
	memcpy(worker.bgw_extra, &arguments, sizeof(arguments));
	return RegisterDynamicBackgroundWorker(&worker, NULL);
}

bool
KafkaWorkerStartSubscription(int32 id, int number)
{
	BackgroundWorker worker;
	KafkaSubscriptionArguments arguments = {MyDatabaseId, id, number};

	KafkaWorkerFill(&worker, "kafka_subscription_main", "kafka_fdw subscription",
					SUBSCRIPTION_RESTART);
	memcpy(worker.bgw_extra, &arguments, sizeof(arguments));
	return RegisterDynamicBackgroundWorker(&worker, NULL);
}
