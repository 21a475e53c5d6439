/*
 * option_column.c
 *		What a column of a foreign table shows: a part of the message, or a field of its value.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "header.h"
#include "option_private.h"

/* The parts, by the column options, and in format raw the column names, that mean them. */
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
	{"headers", KAFKA_PART_HEADERS, "jsonb or kafka_header[]"},
	{"junk", KAFKA_PART_JUNK, "bytea or text"},
	{"junk_error", KAFKA_PART_JUNK_ERROR, "text"}
};

#define NAMED_PARTS 8			/* of these: junk is a matter of options alone */

static bool
is_text_type(Oid type)
{
	return type == TEXTOID || type == VARCHAROID || type == BPCHAROID;
}

/* True where a part can be shown as a type, domains over it included. */
static bool
type_fits(KafkaPart part, Oid type)
{
	type = getBaseType(type);
	switch (part)
	{
		case KAFKA_PART_TOPIC:
		case KAFKA_PART_TIMESTAMP_TYPE:
			return is_text_type(type) || type == NAMEOID;
		case KAFKA_PART_PARTITION:
		case KAFKA_PART_OFFSET:
			return type == INT8OID || type == INT4OID || type == INT2OID;
		case KAFKA_PART_TIMESTAMP:
			return type == TIMESTAMPTZOID;
		case KAFKA_PART_HEADERS:
			return type == JSONBOID || KafkaHeaderIsArrayType(type);
		case KAFKA_PART_JUNK:
			return is_text_type(type) || type == BYTEAOID;
		case KAFKA_PART_JUNK_ERROR:
			return is_text_type(type);
		case KAFKA_PART_KEY:
		case KAFKA_PART_VALUE:
		case KAFKA_PART_FIELD:
		case KAFKA_PART_NONE:
			break;
	}
	return true;
}

static bool
is_forced(const KafkaColumn *column)
{
	return column->force_not_null || column->force_null;
}

void
kafka_option_apply_column(KafkaColumn *column, const KafkaOption *option, const char **previous)
{
	bool		force = option->id == KAFKA_OPTION_FORCE_NOT_NULL ||
		option->id == KAFKA_OPTION_FORCE_NULL;
	bool		json = option->id == KAFKA_OPTION_JSON || option->id == KAFKA_OPTION_JSON_KEY ||
		option->id == KAFKA_OPTION_DEBEZIUM;

	if (!json && !kafka_value_bool(option))
		return;
	if (*previous != NULL && !(force && is_forced(column)))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("options \"%s\" and \"%s\" exclude each other", *previous,
						option->name)));
	*previous = option->name;

	switch (option->id)
	{
		case KAFKA_OPTION_PART:
			column->part = option->part;
			break;
		case KAFKA_OPTION_JSON:
		case KAFKA_OPTION_JSON_KEY:
		case KAFKA_OPTION_DEBEZIUM:
			if (option->value[0] == '\0')
				kafka_value_error(option, NULL, "The name of a member is expected, or those of "
								  "members from outside in with dots between them.");
			column->part = KAFKA_PART_FIELD;
			column->path = pstrdup(option->value);
			column->in_key = option->id == KAFKA_OPTION_JSON_KEY;
			column->in_envelope = option->id == KAFKA_OPTION_DEBEZIUM;
			break;
		case KAFKA_OPTION_FORCE_NOT_NULL:
			column->part = KAFKA_PART_FIELD;
			column->force_not_null = true;
			break;
		case KAFKA_OPTION_FORCE_NULL:
			column->part = KAFKA_PART_FIELD;
			column->force_null = true;
			break;
		default:
			elog(ERROR, "unexpected option \"%s\" of a column", option->name);
	}
}

/* An option of a column, which it must be allowed to have. */
static void
look_up(Oid relid, const char *column, DefElem *def, KafkaOption *option)
{
	if (!kafka_option_lookup(def->defname, defGetString(def), KAFKA_OBJECT_COLUMN, option))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("option \"%s\" of column \"%s\" of foreign table \"%s\" is not allowed",
						def->defname, column, get_rel_name(relid)),
				 errhint("Drop the option: this version of kafka_fdw does not have it there.")));
}

/*
 * What the column's options make of it. In format raw an option that is false takes the meaning
 * from the column's name.
 */
static void
apply_options(Oid relid, AttrNumber attnum, const char *name, KafkaTableFormat format,
			  KafkaColumn *column, bool *by_name)
{
	const char *previous = NULL;
	ListCell   *lc;

	foreach(lc, GetForeignColumnOptions(relid, attnum))
	{
		DefElem    *def = lfirst(lc);
		KafkaOption option;

		look_up(relid, name, def, &option);
		kafka_option_apply_column(column, &option, &previous);
		if (option.id == KAFKA_OPTION_PART && strcmp(def->defname, name) == 0)
			*by_name = false;
	}

	if ((column->path != NULL && format != KAFKA_FORMAT_DEBEZIUM &&
		 (column->in_envelope || format != KAFKA_FORMAT_JSON)) ||
		(is_forced(column) && format != KAFKA_FORMAT_CSV))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("option \"%s\" of column \"%s\" of foreign table \"%s\" requires format %s",
						previous, name, get_rel_name(relid),
						column->in_envelope ? "debezium" : column->path ? "json or debezium" : "csv")));
}

/* The part that a column's name means, or KAFKA_PART_NONE. */
static KafkaPart
part_by_name(const char *name)
{
	for (int i = 0; i < NAMED_PARTS; i++)
	{
		if (strcmp(name, parts[i].name) == 0)
			return parts[i].part;
	}
	return KAFKA_PART_NONE;
}

pg_noreturn static void
report_no_part(Oid relid, const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_COLUMN_NAME),
			 errmsg("column \"%s\" of foreign table \"%s\" is no part of a message", name,
					get_rel_name(relid)),
			 errdetail("In format raw the columns are topic, partition, offset, timestamp, "
					   "timestamp_type, key, value and headers."),
			 errhint("Give the column one of these names, or the option of that name, as in "
					 "OPTIONS (value 'true'). In the other formats the columns are fields of the "
					 "value.")));
}

void
KafkaOptionGetColumn(Oid relid, AttrNumber attnum, KafkaTableFormat format, KafkaColumn *column)
{
	HeapTuple	tuple;
	Form_pg_attribute attr;
	const char *name;
	Oid			type;
	bool		by_name = format == KAFKA_FORMAT_RAW;

	memset(column, 0, sizeof(KafkaColumn));
	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u", attnum, relid);
	attr = (Form_pg_attribute) GETSTRUCT(tuple);
	if (attr->attisdropped)
	{
		ReleaseSysCache(tuple);
		return;
	}
	name = pstrdup(NameStr(attr->attname));
	type = attr->atttypid;
	ReleaseSysCache(tuple);

	apply_options(relid, attnum, name, format, column, &by_name);
	if (column->part == KAFKA_PART_NONE && by_name)
		column->part = part_by_name(name);
	if (column->part == KAFKA_PART_NONE && format == KAFKA_FORMAT_RAW)
		report_no_part(relid, name);
	if (column->part == KAFKA_PART_NONE)
		column->part = KAFKA_PART_FIELD;
	if (type_fits(column->part, type))
		return;

	for (int i = 0; i < lengthof(parts); i++)
	{
		if (column->part == parts[i].part)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_DATA_TYPE),
					 errmsg("column \"%s\" of foreign table \"%s\" cannot have type %s", name,
							get_rel_name(relid), format_type_be(type)),
					 errdetail("It shows the message's %s, which is %s.", parts[i].name,
							   parts[i].types)));
	}
}

/* Of all columns of a table, dropped ones too. */
static int
count_columns(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	int			natts;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	natts = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
	ReleaseSysCache(tuple);
	return natts;
}

bool
kafka_option_has_junk(Oid relid)
{
	int			natts = count_columns(relid);

	for (AttrNumber attnum = 1; attnum <= natts; attnum++)
	{
		ListCell   *lc;

		foreach(lc, GetForeignColumnOptions(relid, attnum))
		{
			DefElem    *def = lfirst(lc);

			if ((strcmp(def->defname, "junk") == 0 || strcmp(def->defname, "junk_error") == 0) &&
				defGetBoolean(def))
				return true;
		}
	}
	return false;
}

bool
KafkaOptionMayShowHeaders(Oid relid)
{
	int			natts = count_columns(relid);

	if (get_attnum(relid, "headers") != InvalidAttrNumber)
		return true;
	for (AttrNumber attnum = 1; attnum <= natts; attnum++)
	{
		ListCell   *lc;

		foreach(lc, GetForeignColumnOptions(relid, attnum))
		{
			if (strcmp(((DefElem *) lfirst(lc))->defname, "headers") == 0)
				return true;
		}
	}
	return false;
}
