/*
 * relay_control.c
 *		What starts and stops relays: functions, and with shared_preload_libraries a launcher.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "module.h"
#include "option.h"
#include "outbox.h"
#include "setting.h"
#include "worker.h"

#define LAUNCHER_RESTART 10	/* seconds */

PG_FUNCTION_INFO_V1(kafka_relay_start);
PG_FUNCTION_INFO_V1(kafka_relay_stop);
PG_FUNCTION_INFO_V1(kafka_adopt);

PGDLLEXPORT void kafka_launcher_main(Datum arg);
PGDLLEXPORT void kafka_launcher_database_main(Datum arg);

static const char *
schema_name(void)
{
	return quote_identifier(get_namespace_name(KafkaOutboxSchema()));
}

static void
execute(const char *sql, int nargs, Oid *types, Datum *values, int expected)
{
	int			rc = SPI_execute_with_args(sql, nargs, types, values, NULL, false, 0);

	if (rc != expected)
		elog(ERROR, "unexpected result of a statement: %s", SPI_result_code_string(rc));
}

/* Say whether a server's relays are to run, and have those that there are notice it. */
static void
set_stopped(FunctionCallInfo fcinfo, bool stopped)
{
	Oid			types[] = {OIDOID, BOOLOID};
	Datum		values[2];
	Oid			serverid;
	const char *name = PG_ARGISNULL(0) ? NULL : NameStr(*PG_GETARG_NAME(0));
	Oid			userid = GetUserId();
	Oid			save_userid;
	int			save_context;
	Oid			mapping;

	KafkaSettingCheckWrite(stopped ? "kafka_relay_stop()" : "kafka_relay_start()");
	serverid = KafkaOptionChooseServer(name, userid);
	mapping = SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(userid),
									ObjectIdGetDatum(serverid)) ? userid : InvalidOid;
	values[0] = ObjectIdGetDatum(serverid);
	values[1] = BoolGetDatum(stopped);

	/* EXECUTE on this function is the right that counts: nobody may write to the table itself. */
	GetUserIdAndSecContext(&save_userid, &save_context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID,
						   save_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	SPI_connect();
	execute(psprintf("UPDATE %s.kafka_relay SET stopped = $2, "
					 "state = CASE WHEN $2 OR state = 'fenced' THEN state ELSE 'starting' END "
					 "WHERE serverid = $1 RETURNING mapping::oid", schema_name()),
			2, types, values, SPI_OK_UPDATE_RETURNING);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;

		KafkaOutboxWakeRelay(serverid,
							 DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i],
															SPI_tuptable->tupdesc, 1, &isnull)));
	}
	if (SPI_processed == 0 && !stopped)
		KafkaOutboxWakeRelay(serverid, mapping);
	SPI_finish();
	SetUserIdAndSecContext(save_userid, save_context);
}

Datum
kafka_relay_start(PG_FUNCTION_ARGS)
{
	set_stopped(fcinfo, false);
	PG_RETURN_VOID();
}

Datum
kafka_relay_stop(PG_FUNCTION_ARGS)
{
	set_stopped(fcinfo, true);
	PG_RETURN_VOID();
}

/*
 * Make this copy of the database the one that sends. The numbers of transactions may mean nothing
 * here, if it was restored from a dump: what waits is given this transaction's, and what was sent is
 * deleted. The rows of a batch whose outcome is not known have to stay together under its name: they
 * get a number below all others, and a round that shows nothing else.
 */
Datum
kafka_adopt(PG_FUNCTION_ARGS)
{
	Oid			types[] = {INT8OID, OIDOID};
	Datum		values[2];
	const char *schema = schema_name();

	KafkaSettingCheckWrite("kafka_adopt()");
	values[0] = Int64GetDatum((int64) GetSystemIdentifier());
	values[1] = ObjectIdGetDatum(MyDatabaseId);
	SPI_connect();
	execute(psprintf("LOCK TABLE %s.kafka_relay, %s.kafka_outbox_0, %s.kafka_outbox_1, %s.kafka_outbox_2 "
					 "IN ACCESS EXCLUSIVE MODE", schema, schema, schema, schema),
			0, NULL, NULL, SPI_OK_UTILITY);
	execute(psprintf("UPDATE %s.kafka_relay r SET serverid = s.oid FROM pg_catalog.pg_foreign_server s "
					 "WHERE s.srvname = r.server AND s.oid <> r.serverid", schema),
			0, NULL, NULL, SPI_OK_UPDATE);
	for (int i = 0; i < KAFKA_OUTBOX_TABLES; i++)
	{
		execute(psprintf("UPDATE %s.kafka_outbox_%d o SET serverid = s.oid FROM pg_catalog.pg_foreign_server s "
						 "WHERE s.srvname = o.server AND s.oid <> o.serverid", schema, i),
				0, NULL, NULL, SPI_OK_UPDATE);
		execute(psprintf("DELETE FROM %s.kafka_outbox_%d o USING %s.kafka_relay r "
						 "WHERE r.serverid = o.serverid AND r.mapping = o.mapping "
						 "AND (pg_catalog.pg_visible_in_snapshot(o.xid, r.done) "
						 "OR r.round IS NOT NULL AND o.id <= r.last_id "
						 "AND pg_catalog.pg_visible_in_snapshot(o.xid, r.round))", schema, i, schema),
				0, NULL, NULL, SPI_OK_DELETE);
		execute(psprintf("UPDATE %s.kafka_outbox_%d o SET xid = "
						 "CASE WHEN EXISTS (SELECT FROM %s.kafka_relay r "
						 "WHERE r.serverid = o.serverid AND r.mapping = o.mapping AND r.batch IS NOT NULL "
						 "AND o.id <= r.batch_to AND pg_catalog.pg_visible_in_snapshot(o.xid, r.round)) "
						 "THEN '3'::pg_catalog.xid8 ELSE pg_catalog.pg_current_xact_id() END",
						 schema, i, schema), 0, NULL, NULL, SPI_OK_UPDATE);
	}
	execute(psprintf("UPDATE %s.kafka_relay SET identity = pg_catalog.gen_random_uuid(), "
					 "system_identifier = $1, databaseid = $2, state = 'starting', pid = NULL, "
					 "done = '3:3:', done_id = 0, round_id = 0, "
					 "round = CASE WHEN batch IS NULL THEN NULL ELSE '4:4:'::pg_catalog.pg_snapshot END "
					 "RETURNING serverid, mapping::oid", schema),
			2, types, values, SPI_OK_UPDATE_RETURNING);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		HeapTuple	tuple = SPI_tuptable->vals[i];

		KafkaOutboxWakeRelay(DatumGetObjectId(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull)),
							 DatumGetObjectId(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull)));
	}
	SPI_finish();
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------------------
 * The launcher
 * ------------------------------------------------------------------------ */

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
					 errmsg("could not look for relays of kafka_fdw: no background worker slot is free"),
					 errhint("Increase \"max_worker_processes\".")));
		(void) WaitForBackgroundWorkerShutdown(handle);
	}
	proc_exit(0);
}

/* Start the relays of one database. */
void
kafka_launcher_database_main(Datum arg)
{
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), BOOTSTRAP_SUPERUSERID, 0);
	StartTransactionCommand();
	if (OidIsValid(get_extension_oid("kafka_fdw", true)))
	{
		StringInfoData sql;
		const char *schema = schema_name();

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
		execute(sql.data, 0, NULL, NULL, SPI_OK_SELECT);
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
	}
	CommitTransactionCommand();
	proc_exit(0);
}

/* With shared_preload_libraries only. */
void
KafkaRelayInit(void)
{
	BackgroundWorker worker;

	if (!process_shared_preload_libraries_in_progress)
		return;
	KafkaWorkerFill(&worker, "kafka_launcher_main", "kafka_fdw launcher", LAUNCHER_RESTART);
	RegisterBackgroundWorker(&worker);
}
