/*
 * relay_sql.c
 *		What the files of the relay have in common to run statements.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "outbox.h"
#include "relay_private.h"

const char *
kafka_relay_schema(void)
{
	return quote_identifier(get_namespace_name(KafkaOutboxSchema()));
}

void
kafka_relay_execute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls,
					int expected)
{
	int			rc = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);

	if (rc != expected)
		elog(ERROR, "unexpected result of a relay's statement: %s", SPI_result_code_string(rc));
}

Datum
kafka_relay_column(uint64 row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, isnull);
}

bool
kafka_relay_bool(int number)
{
	bool		isnull;

	return DatumGetBool(kafka_relay_column(0, number, &isnull));
}
