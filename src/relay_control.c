/*
 * relay_control.c
 *		The functions that start and stop relays, and adopt a copy of a database.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "module.h"
#include "option.h"
#include "outbox.h"
#include "relay_private.h"
#include "setting.h"
#include "subscription.h"
#include "worker.h"

PG_FUNCTION_INFO_V1(kafka_relay_start);
PG_FUNCTION_INFO_V1(kafka_relay_stop);
PG_FUNCTION_INFO_V1(kafka_adopt);

/* Have the relays that the last statement returned look at once. */
static void
wake_returned(void)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Oid			serverid = DatumGetObjectId(kafka_access_column(i, 1, &isnull));

		KafkaOutboxWakeRelay(serverid, DatumGetObjectId(kafka_access_column(i, 2, &isnull)));
	}
}

/*
 * Say whether a server's relays are to run, and have those that there are notice it. EXECUTE on the
 * functions is the right that counts: nobody but the extension's owner may write to the tables.
 */
static void
set_stopped(FunctionCallInfo fcinfo, bool stopped)
{
	Oid			types[] = {OIDOID, BOOLOID};
	Datum		values[2];
	Oid			serverid;
	const char *name = PG_ARGISNULL(0) ? NULL : NameStr(*PG_GETARG_NAME(0));
	Oid			userid = GetUserId();
	Oid			mapping;
	KafkaAccess access;

	KafkaSettingCheckWrite(stopped ? "kafka_relay_stop()" : "kafka_relay_start()");
	serverid = KafkaOptionChooseServer(name, userid);
	mapping = KafkaOptionMappingRole(serverid, userid);
	values[0] = ObjectIdGetDatum(serverid);
	values[1] = BoolGetDatum(stopped);

	access = kafka_access_begin();
	kafka_access_execute(psprintf("UPDATE %s.kafka_relay SET stopped = $2, all_stopped = $2 "
								  "WHERE serverid = $1 RETURNING serverid, mapping::oid",
								  kafka_access_schema()),
						 2, types, values, NULL, SPI_OK_UPDATE_RETURNING);
	if (SPI_processed > 0)
		wake_returned();
	else
	{
		if (stopped)
			kafka_relay_insert_stopped(serverid, mapping);
		KafkaOutboxWakeRelay(serverid, mapping);
	}
	kafka_access_end(&access);
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

/* Run a statement that has the schema in it, as %1$s, and perhaps a table's number, as %2$d. */
static void
adopt_by(const char *format, int n, int expected)
{
	kafka_access_execute(psprintf(format, kafka_access_schema(), n), 0, NULL, NULL, NULL, expected);
}

/*
 * The numbers of transactions and of servers may mean nothing here: this was restored from a dump.
 * Servers are found by their names. What was sent is deleted, and what waits is given this
 * transaction's number. The rows of a batch whose outcome is not known have to stay together under
 * its name: they get a number below all others, and a round that shows nothing else.
 */
static void
renumber(void)
{
	/* In the order of who stores a message, and looks for its relay when it commits. */
	adopt_by("LOCK TABLE %1$s.kafka_outbox_0, %1$s.kafka_outbox_1, %1$s.kafka_outbox_2, "
			 "%1$s.kafka_relay, %1$s.kafka_relay_progress IN ACCESS EXCLUSIVE MODE", 0, SPI_OK_UTILITY);
	/* What was stored before its server was renamed. */
	for (int i = 0; i < KAFKA_OUTBOX_TABLES; i++)
		adopt_by("UPDATE %1$s.kafka_outbox_%2$d o SET server = r.server FROM %1$s.kafka_relay r "
				 "WHERE r.serverid = o.serverid AND r.mapping = o.mapping AND NOT EXISTS "
				 "(SELECT FROM pg_catalog.pg_foreign_server s WHERE s.srvname = o.server)", i, SPI_OK_UPDATE);
	/* A relay that was started here and fenced has a row under the server's number here. */
	adopt_by("DELETE FROM %1$s.kafka_relay_progress p USING %1$s.kafka_relay r, %1$s.kafka_relay older "
			 "WHERE r.serverid = p.serverid AND r.mapping = p.mapping AND older.server = r.server "
			 "AND older.mapping = r.mapping AND older.databaseid <> r.databaseid "
			 "AND r.databaseid = (SELECT oid FROM pg_catalog.pg_database "
			 "WHERE datname = pg_catalog.current_database())", 0, SPI_OK_DELETE);
	adopt_by("DELETE FROM %1$s.kafka_relay r USING %1$s.kafka_relay older "
			 "WHERE older.server = r.server AND older.mapping = r.mapping "
			 "AND older.serverid <> r.serverid AND NOT EXISTS (SELECT FROM %1$s.kafka_relay_progress p "
			 "WHERE p.serverid = r.serverid AND p.mapping = r.mapping)", 0, SPI_OK_DELETE);
	/* Progress first: its rows have no name of their own. */
	adopt_by("UPDATE %1$s.kafka_relay_progress p SET serverid = s.oid "
			 "FROM %1$s.kafka_relay r, pg_catalog.pg_foreign_server s "
			 "WHERE r.serverid = p.serverid AND r.mapping = p.mapping AND s.srvname = r.server", 0,
			 SPI_OK_UPDATE);
	adopt_by("UPDATE %1$s.kafka_relay r SET serverid = s.oid FROM pg_catalog.pg_foreign_server s "
			 "WHERE s.srvname = r.server", 0, SPI_OK_UPDATE);
	for (int i = 0; i < KAFKA_OUTBOX_TABLES; i++)
	{
		adopt_by("UPDATE %1$s.kafka_outbox_%2$d o SET serverid = s.oid "
				 "FROM pg_catalog.pg_foreign_server s WHERE s.srvname = o.server", i, SPI_OK_UPDATE);
		adopt_by("DELETE FROM %1$s.kafka_outbox_%2$d o USING %1$s.kafka_relay_progress p "
				 "WHERE p.serverid = o.serverid AND p.mapping = o.mapping "
				 "AND " KAFKA_RELAY_WAS_SENT, i, SPI_OK_DELETE);
		adopt_by("UPDATE %1$s.kafka_outbox_%2$d o SET xid = "
				 "CASE WHEN EXISTS (SELECT FROM %1$s.kafka_relay_progress p "
				 "WHERE p.serverid = o.serverid AND p.mapping = o.mapping AND p.batch IS NOT NULL "
				 "AND o.id <= p.batch_to AND pg_catalog.pg_visible_in_snapshot(o.xid, p.round)) "
				 "THEN '3'::pg_catalog.xid8 ELSE pg_catalog.pg_current_xact_id() END", i, SPI_OK_UPDATE);
	}
	adopt_by("UPDATE %1$s.kafka_relay_progress SET done = '3:3:', done_id = 0, round_id = 0, "
			 "round = CASE WHEN batch IS NOT NULL THEN '4:4:'::pg_catalog.pg_snapshot END", 0,
			 SPI_OK_UPDATE);
}

/*
 * Make this copy of the database the one that sends. Where it is none, that may be since another
 * server has taken a relay's place: then it takes it back, under another identity.
 */
Datum
kafka_adopt(PG_FUNCTION_ARGS)
{
	Oid			types[] = {INT8OID, OIDOID, BOOLOID};
	Datum		values[3];
	bool		copy;
	KafkaAccess access;
	uint64		nadopted;

	KafkaSettingCheckWrite("kafka_adopt()");
	access = kafka_access_begin();
	copy = kafka_relay_is_copy();
	if (copy)
		renumber();
	values[0] = Int64GetDatum((int64) GetSystemIdentifier());
	values[1] = ObjectIdGetDatum(MyDatabaseId);
	values[2] = BoolGetDatum(copy);
	kafka_access_execute(psprintf("UPDATE %s.kafka_relay SET identity = pg_catalog.gen_random_uuid(), "
								  "system_identifier = $1, databaseid = $2, state = 'starting', pid = NULL "
								  "WHERE $3 OR state = 'fenced' RETURNING serverid, mapping::oid",
								  kafka_access_schema()),
						 3, types, values, NULL, SPI_OK_UPDATE_RETURNING);
	nadopted = SPI_processed;
	wake_returned();
	kafka_access_end(&access);
	nadopted += KafkaSubscriptionAdopt();
	if (nadopted == 0)
		ereport(NOTICE, (errmsg("nothing here is fenced")));
	PG_RETURN_VOID();
}
