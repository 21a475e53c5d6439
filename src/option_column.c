/*
 * option_column.c
 *		Which part of a message a column of a foreign table shows.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "header.h"
#include "option_private.h"

/* The parts, by the column names that mean them in format raw. */
static const struct
{
	const char *name;
	KafkaPart	part;
	const char *types;			/* that such a column can have; NULL: any */
}			parts[] = {
	{"topic", KAFKA_PART_TOPIC, "text"},
	{"partition", KAFKA_PART_PARTITION, "integer or bigint"},
	{"offset", KAFKA_PART_OFFSET, "bigint"},
	{"timestamp", KAFKA_PART_TIMESTAMP, "timestamp with time zone"},
	{"timestamp_type", KAFKA_PART_TIMESTAMP_TYPE, "text"},
	{"key", KAFKA_PART_KEY, NULL},
	{"value", KAFKA_PART_VALUE, NULL},
	{"headers", KAFKA_PART_HEADERS, "jsonb or kafka_header[]"}
};

/* True where a part can be shown as a type, domains over it included. */
static bool
type_fits(KafkaPart part, Oid type)
{
	type = getBaseType(type);
	switch (part)
	{
		case KAFKA_PART_TOPIC:
		case KAFKA_PART_TIMESTAMP_TYPE:
			return type == TEXTOID || type == VARCHAROID || type == BPCHAROID || type == NAMEOID;
		case KAFKA_PART_PARTITION:
		case KAFKA_PART_OFFSET:
			return type == INT8OID || type == INT4OID || type == INT2OID;
		case KAFKA_PART_TIMESTAMP:
			return type == TIMESTAMPTZOID;
		case KAFKA_PART_HEADERS:
			return type == JSONBOID || KafkaHeaderIsArrayType(type);
		case KAFKA_PART_KEY:
		case KAFKA_PART_VALUE:
		case KAFKA_PART_NONE:
			break;
	}
	return true;
}

/*
 * The part that the column's options give it, or KAFKA_PART_NONE. An option that is false takes the
 * meaning from the column's name.
 */
static KafkaPart
part_by_options(Oid relid, AttrNumber attnum, const char *name, bool *by_name)
{
	KafkaPart	part = KAFKA_PART_NONE;
	ListCell   *lc;

	foreach(lc, GetForeignColumnOptions(relid, attnum))
	{
		DefElem    *def = lfirst(lc);
		KafkaOption option;

		if (!kafka_option_lookup(def->defname, defGetString(def), KAFKA_OBJECT_COLUMN, &option))
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("option \"%s\" of column \"%s\" of foreign table \"%s\" is not allowed",
							def->defname, name, get_rel_name(relid)),
					 errhint("Drop the option: this version of kafka_fdw does not have it there.")));
		if (kafka_value_bool(&option))
			part = option.part;
		else if (strcmp(def->defname, name) == 0)
			*by_name = false;
	}
	return part;
}

KafkaPart
KafkaOptionColumnPart(Oid relid, AttrNumber attnum)
{
	HeapTuple	tuple;
	Form_pg_attribute attr;
	const char *name;
	Oid			type;
	KafkaPart	part;
	bool		by_name = true;

	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u", attnum, relid);
	attr = (Form_pg_attribute) GETSTRUCT(tuple);
	if (attr->attisdropped)
	{
		ReleaseSysCache(tuple);
		return KAFKA_PART_NONE;
	}
	name = pstrdup(NameStr(attr->attname));
	type = attr->atttypid;
	ReleaseSysCache(tuple);

	part = part_by_options(relid, attnum, name, &by_name);
	for (int i = 0; i < lengthof(parts); i++)
	{
		if (part == KAFKA_PART_NONE && by_name && strcmp(name, parts[i].name) == 0)
			part = parts[i].part;
		if (part != parts[i].part)
			continue;
		if (!type_fits(part, type))
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_DATA_TYPE),
					 errmsg("column \"%s\" of foreign table \"%s\" cannot have type %s", name,
							get_rel_name(relid), format_type_be(type)),
					 errdetail("It shows the message's %s, which is %s.", parts[i].name,
							   parts[i].types)));
		return part;
	}

	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_COLUMN_NAME),
			 errmsg("column \"%s\" of foreign table \"%s\" is no part of a message", name,
					get_rel_name(relid)),
			 errdetail("In format raw the columns are topic, partition, offset, timestamp, "
					   "timestamp_type, key, value and headers."),
			 errhint("Give the column one of these names, or the option of that name, as in "
					 "OPTIONS (value 'true').")));
}
