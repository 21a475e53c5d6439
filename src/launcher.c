/*
 * launcher.c
 *		With shared_preload_libraries: relays and subscriptions are started with the server, and a
 *		database can be dropped in which they run.
 */
#include "postgres.h"

#include <signal.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_database.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "module.h"
#include "outbox.h"
#include "relay_private.h"
#include "subscription.h"
#include "worker.h"

#define LAUNCHER_RESTART 10		/* seconds */

PGDLLEXPORT void kafka_launcher_main(Datum arg);
PGDLLEXPORT void kafka_launcher_database_main(Datum arg);

static object_access_hook_type next_object_access_hook = NULL;

/* The databases that can be connected to. */
static List *
list_databases(void)
{
	List	   *result = NIL;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext oldcontext;

		if (!database->datallowconn || database->datistemplate)
			continue;
		oldcontext = MemoryContextSwitchTo(TopMemoryContext);
		result = lappend_oid(result, database->oid);
		MemoryContextSwitchTo(oldcontext);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	return result;
}

/*
 * At the server's start, and when a standby is promoted: have each database looked at, one after
 * another, and end.
 */
void
kafka_launcher_main(Datum arg)
{
	List	   *databases;
	ListCell   *lc;

	/* The default ends the process from within the signal handler, wherever it is. */
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	databases = list_databases();
	foreach(lc, databases)
	{
		BackgroundWorker worker;
		BackgroundWorkerHandle *handle;

		KafkaWorkerFill(&worker, "kafka_launcher_database_main", "kafka_fdw launcher", BGW_NEVER_RESTART);
		worker.bgw_main_arg = ObjectIdGetDatum(lfirst_oid(lc));
		worker.bgw_notify_pid = MyProcPid;
		if (!RegisterDynamicBackgroundWorker(&worker, &handle))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
					 errmsg("could not look for relays and subscriptions of kafka_fdw: no background worker slot is free"),
					 errhint("Increase \"max_worker_processes\".")));
		(void) WaitForBackgroundWorkerShutdown(handle);
	}
	proc_exit(0);
}

/* Start the relays and subscriptions of one database. */
void
kafka_launcher_database_main(Datum arg)
{
	pqsignal(SIGTERM, die);
	KafkaWorkerConnect(DatumGetObjectId(arg));
	StartTransactionCommand();
	if (KafkaOutboxExists())
	{
		StringInfoData sql;
		const char *schema = kafka_access_schema();

		initStringInfo(&sql);
		appendStringInfo(&sql, "SELECT serverid, mapping::oid FROM %s.kafka_relay "
						 "WHERE NOT stopped AND state <> 'fenced'", schema);
		for (int i = 0; i < KAFKA_OUTBOX_TABLES; i++)
			appendStringInfo(&sql, " UNION SELECT serverid, mapping::oid FROM %s.kafka_outbox_%d o "
							 "WHERE NOT EXISTS (SELECT FROM %s.kafka_relay r "
							 "WHERE r.serverid = o.serverid AND r.mapping = o.mapping)",
							 schema, i, schema);
		SPI_connect();
		PushActiveSnapshot(GetTransactionSnapshot());
		kafka_access_execute(sql.data, 0, NULL, NULL, NULL, SPI_OK_SELECT);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			HeapTuple	tuple = SPI_tuptable->vals[i];
			bool		isnull;

			if (!KafkaWorkerStartRelay(DatumGetObjectId(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull)),
									   DatumGetObjectId(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull))))
				ereport(LOG,
						(errmsg("could not start a relay of kafka_fdw: no background worker slot is free"),
						 errhint("Increase \"max_worker_processes\".")));
		}
		PopActiveSnapshot();
		SPI_finish();
		KafkaSubscriptionStartAll();
	}
	CommitTransactionCommand();
	proc_exit(0);
}

/* Have our workers in a database end. */
static void
end_workers(Oid databaseid)
{
	int			n = pgstat_fetch_stat_numbackends();

	for (int i = 1; i <= n; i++)
	{
		PgBackendStatus *status = &kafka_fetch_backend_status(i)->backendStatus;
		const char *type;

		if (status->st_databaseid != databaseid || status->st_backendType != B_BG_WORKER)
			continue;
		type = GetBackgroundWorkerTypeByPid(status->st_procpid);
		if (type && strncmp(type, KAFKA_WORKER_PREFIX, strlen(KAFKA_WORKER_PREFIX)) == 0)
			(void) kill(status->st_procpid, SIGTERM);
	}
}

/* DROP DATABASE calls it before it looks whether somebody is connected, for which it has patience. */
static void
drop_hook(ObjectAccessType access, Oid classid, Oid objectid, int subid, void *arg)
{
	if (next_object_access_hook)
		next_object_access_hook(access, classid, objectid, subid, arg);
	if (access == OAT_DROP && classid == DatabaseRelationId)
		end_workers(objectid);
}

void
KafkaLauncherInit(void)
{
	BackgroundWorker worker;

	/* pg_upgrade copies the files of a server that must not change them any more. */
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	KafkaWorkerFill(&worker, "kafka_launcher_main", "kafka_fdw launcher", LAUNCHER_RESTART);
	RegisterBackgroundWorker(&worker);
	next_object_access_hook = object_access_hook;
	object_access_hook = drop_hook;
}
