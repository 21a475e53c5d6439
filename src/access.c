/*
 * access.c
 *		Statements on the extension's own tables, which no role may write to.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "outbox.h"
#include "access.h"

const char *
kafka_access_schema(void)
{
	return quote_identifier(get_namespace_name(KafkaOutboxSchema()));
}

KafkaAccess
kafka_access_begin(void)
{
	KafkaAccess access;

	access.cxt = CurrentMemoryContext;
	GetUserIdAndSecContext(&access.userid, &access.context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID,
						   access.context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	access.guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	access.snapshot = !ActiveSnapshotSet();
	if (access.snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	access.schema = kafka_access_schema();
	return access;
}

void
kafka_access_end(const KafkaAccess *access)
{
	SPI_finish();
	if (access->snapshot)
		PopActiveSnapshot();
	AtEOXact_GUC(true, access->guc_level);
	SetUserIdAndSecContext(access->userid, access->context);
	MemoryContextSwitchTo(access->cxt);
}

void
kafka_access_execute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls,
					 int expected)
{
	int			rc = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);

	if (rc != expected)
		elog(ERROR, "unexpected result of a statement: %s",
			 SPI_result_code_string(rc));
}

Datum
kafka_access_column(uint64 i, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, number, isnull);
}

int64
kafka_access_int(uint64 i, int number)
{
	bool		isnull;
	Datum		datum = kafka_access_column(i, number, &isnull);

	return isnull ? 0 : DatumGetInt64(datum);
}

const char *
kafka_access_bytes(uint64 i, int number, Size *len)
{
	bool		isnull;
	Datum		datum = kafka_access_column(i, number, &isnull);
	struct varlena *bytes;

	*len = 0;
	if (isnull)
		return NULL;
	bytes = PG_DETOAST_DATUM_PACKED(datum);
	*len = VARSIZE_ANY_EXHDR(bytes);
	return memcpy(palloc(*len + 1), VARDATA_ANY(bytes), *len);
}

bool
kafka_access_bool(int number)
{
	bool		isnull;

	return DatumGetBool(kafka_access_column(0, number, &isnull));
}

char *
kafka_access_text(const KafkaAccess *access, uint64 i, int number)
{
	char	   *text = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, number);

	return text ? MemoryContextStrdup(access->cxt, text) : NULL;
}

Oid
kafka_access_type(const KafkaAccess *access, const char *name)
{
	Oid			type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(name),
									   ObjectIdGetDatum(KafkaOutboxSchema()));

	if (!OidIsValid(type))
		elog(ERROR, "type \"%s\" of the extension is missing", name);
	return type;
}
