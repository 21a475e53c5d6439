/*
 * publish_argument.c
 *		The arguments of the trigger kafka_publish(), and what they stand for in a table.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/relcache.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "compat.h"
#include "header.h"
#include "publish_private.h"

static const char *const argument_names[] = {
	"server", "format", "key", "delivery", "columns", "tombstone", "numeric", "key_format",
	"partition", "headers"
};

/* ------------------------------------------------------------------------
 * Reading them
 * ------------------------------------------------------------------------ */

/* A value that is one of some words, or two; the index of it. */
static int
read_word(const char *name, const char *value, const char *const *words)
{
	List	   *candidates = NIL;
	StringInfoData list;
	const char *nearest;

	initStringInfo(&list);
	for (int i = 0; words[i] != NULL; i++)
	{
		if (strcmp(value, words[i]) == 0)
			return i;
		candidates = lappend(candidates, unconstify(char *, words[i]));
		appendStringInfo(&list, "%s\"%s\"", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
	}
	nearest = KafkaOptionNearest(value, candidates);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for argument \"%s\" of %s(): \"%s\"", name, PUBLISH_FUNCTION,
					value),
			 errdetail("It is %s.", list.data),
			 nearest ? errhint("Perhaps you meant \"%s\".", nearest) : 0));
	return 0;
}

PublishFormat
kafka_publish_format(const char *word)
{
	static const char *const words[] = {"debezium", "row", "key", NULL};

	return read_word("format", word, words);
}

KafkaDeliveryMode
kafka_publish_delivery(const char *word)
{
	static const char *const words[] = {"immediate", "commit", "outbox", NULL};

	return read_word("delivery", word, words);
}

static bool
read_bool(const char *name, const char *value)
{
	bool		result;

	if (!parse_bool(value, &result))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\" of %s(): \"%s\"", name,
						PUBLISH_FUNCTION, value),
				 errdetail("It is \"true\" or \"false\".")));
	return result;
}

/* Names of columns with commas between, spelt as in SQL: only what is quoted keeps capitals. */
static List *
read_names(const char *name, const char *value)
{
	List	   *names;

	if (!SplitIdentifierString(pstrdup(value), ',', &names) || names == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\" of %s(): \"%s\"", name,
						PUBLISH_FUNCTION, value),
				 errdetail("It is a list of columns: \"%s=a,b\".", name)));
	return names;
}

/* The name of a column behind an @; NULL where there is no @. */
static const char *
read_column(const char *name, const char *value)
{
	List	   *names;

	if (value[0] != '@')
		return NULL;
	names = read_names(name, value + 1);
	if (list_length(names) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" of %s() names more than one column", name,
						PUBLISH_FUNCTION)));
	return linitial(names);
}

static int32
read_partition(const char *value)
{
	int32		partition = pg_strtoint32(value);

	if (partition < 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("partition %d is out of range", partition)));
	return partition;
}

/* Take a "name=value" apart; the value. */
static const char *
split_argument(const char *argument, const char **name)
{
	const char *equals = strchr(argument, '=');
	List	   *candidates = NIL;
	const char *nearest;

	*name = equals ? pnstrdup(argument, equals - argument) : argument;
	for (int i = 0; i < lengthof(argument_names); i++)
	{
		if (equals && strcmp(*name, argument_names[i]) == 0)
			return equals + 1;
		candidates = lappend(candidates, unconstify(char *, argument_names[i]));
	}
	nearest = KafkaOptionNearest(*name, candidates);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 equals ? errmsg("%s() has no argument \"%s\"", PUBLISH_FUNCTION, *name)
			 : errmsg("argument \"%s\" of %s() is not of the form \"name=value\"", argument,
					  PUBLISH_FUNCTION),
			 nearest ? errhint("Perhaps you meant \"%s\".", nearest) : 0));
	return NULL;
}

static void
read_argument(const char *name, const char *value, PublishArguments *arguments)
{
	static const char *const numerics[] = {"string", "number", NULL};
	static const char *const key_formats[] = {"json", "text", NULL};

	if (strcmp(name, "server") == 0)
		arguments->server = value;
	else if (strcmp(name, "format") == 0)
		arguments->format = kafka_publish_format(value);
	else if (strcmp(name, "key") == 0)
		arguments->key = read_names(name, value);
	else if (strcmp(name, "delivery") == 0)
		arguments->delivery = kafka_publish_delivery(value);
	else if (strcmp(name, "columns") == 0)
		arguments->columns = read_names(name, value);
	else if (strcmp(name, "tombstone") == 0)
		arguments->tombstone = read_bool(name, value);
	else if (strcmp(name, "numeric") == 0)
		arguments->numeric_number = read_word(name, value, numerics) == 1;
	else if (strcmp(name, "key_format") == 0)
		arguments->key_text = read_word(name, value, key_formats) == 1;
	else if (strcmp(name, "partition") == 0)
	{
		arguments->partition_column = read_column(name, value);
		if (arguments->partition_column == NULL)
			arguments->partition = read_partition(value);
	}
	else if (strcmp(name, "headers") == 0)
	{
		arguments->headers_column = read_column(name, value);
		if (arguments->headers_column == NULL)
			arguments->headers = value;
	}
}

void
kafka_publish_read_arguments(int nargs, char *const *args, PublishArguments *arguments)
{
	List	   *seen = NIL;

	memset(arguments, 0, sizeof(PublishArguments));
	arguments->delivery = KAFKA_DELIVERY_OUTBOX;
	arguments->tombstone = true;
	arguments->partition = KAFKA_ANY_PARTITION;
	if (nargs == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s() needs a topic", PUBLISH_FUNCTION),
				 errhint("Its first argument is the topic: %s('topic', 'name=value', ...).",
						 PUBLISH_FUNCTION)));
	arguments->topic = pstrdup(args[0]);
	for (int i = 1; i < nargs; i++)
	{
		const char *name;
		const char *value = split_argument(pstrdup(args[i]), &name);
		ListCell   *lc;

		foreach(lc, seen)
		{
			if (strcmp(lfirst(lc), name) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("argument \"%s\" of %s() is given twice", name,
								PUBLISH_FUNCTION)));
		}
		seen = lappend(seen, unconstify(char *, name));
		read_argument(name, value, arguments);
	}
	if (arguments->format == PUBLISH_ROW && !arguments->tombstone)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s() needs tombstones in format \"row\"", PUBLISH_FUNCTION),
				 errdetail("A deleted row is published as nothing else.")));
}

/* ------------------------------------------------------------------------
 * Finding what they stand for
 * ------------------------------------------------------------------------ */

/* A column that an argument names. */
static AttrNumber
find_column(Relation rel, const char *name)
{
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *candidates = NIL;
	const char *nearest;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (attribute->attisdropped)
			continue;
		if (strcmp(NameStr(attribute->attname), name) != 0)
		{
			candidates = lappend(candidates, NameStr(attribute->attname));
			continue;
		}
		if (kafka_is_virtual(attribute))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot publish column \"%s\" of table \"%s\"", name,
							RelationGetRelationName(rel)),
					 errdetail("A virtual generated column is not part of the row that a trigger "
							   "sees.")));
		return attribute->attnum;
	}
	nearest = KafkaOptionNearest(name, candidates);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" of table \"%s\" does not exist", name,
					RelationGetRelationName(rel)),
			 nearest ? errhint("Perhaps you meant \"%s\".", nearest) : 0));
	return InvalidAttrNumber;
}

/* The columns that an argument names, in its order, as numbers; each once. */
static List *
find_columns(Relation rel, List *names, const char *argument)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, names)
	{
		AttrNumber	attnum = find_column(rel, lfirst(lc));

		if (list_member_int(result, attnum))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("argument \"%s\" of %s() names column \"%s\" twice", argument,
							PUBLISH_FUNCTION, (char *) lfirst(lc))));
		result = lappend_int(result, attnum);
	}
	return result;
}

/* The columns that are published if no argument names any. */
static List *
all_columns(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *result = NIL;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped && !kafka_is_virtual(attribute))
			result = lappend_int(result, attribute->attnum);
	}
	return result;
}

/* The columns of an index. */
static List *
index_columns(Oid indexid)
{
	Relation	index = index_open(indexid, AccessShareLock);
	List	   *result = NIL;

	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		result = lappend_int(result, index->rd_index->indkey.values[i]);
	index_close(index, AccessShareLock);
	return result;
}

/* True where a table's primary key is deferrable, which makes it none to tell rows apart by. */
static bool
has_deferrable_key(List *indexes)
{
	ListCell   *lc;

	foreach(lc, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		bool		found;

		if (!HeapTupleIsValid(tuple))
			continue;
		found = ((Form_pg_index) GETSTRUCT(tuple))->indisprimary;
		ReleaseSysCache(tuple);
		if (found)
			return true;
	}
	return false;
}

/*
 * The primary key, or else the index that is the replica identity. A deferrable primary key is neither, as
 * for PostgreSQL's own replication: where two rows swap their keys, the message that deletes one's old key
 * would come after the one that gives it to the other.
 */
static List *
default_key(Relation rel)
{
	/* It looks for both. */
	List	   *indexes = RelationGetIndexList(rel);
	Oid			primary = kafka_primary_key_index(rel);
	Oid			identity = rel->rd_replidindex;

	if (!OidIsValid(primary) && !OidIsValid(identity))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("table \"%s\" has no key to publish its rows by",
						RelationGetRelationName(rel)),
				 has_deferrable_key(indexes)
				 ? errdetail("Its primary key is deferrable: two rows may have the same for a while.")
				 : errdetail("It has no primary key, and no index as its replica identity."),
				 errhint("Name the columns that tell its rows apart: \"key=a,b\".")));
	list_free(indexes);
	return index_columns(OidIsValid(primary) ? primary : identity);
}

/* Open columns; the index of a row's last one counts for what has to be known of it. */
static PublishColumn *
open_columns(KafkaPublication *publication, TupleDesc desc, List *attnums, int *ncolumns)
{
	PublishColumn *columns = palloc0(Max(list_length(attnums), 1) * sizeof(PublishColumn));
	ListCell   *lc;

	*ncolumns = list_length(attnums);
	foreach(lc, attnums)
	{
		kafka_publish_open_column(&columns[foreach_current_index(lc)], desc, lfirst_int(lc),
								  &publication->arguments);
		publication->natts = Max(publication->natts, lfirst_int(lc));
	}
	return columns;
}

/* A column that gives the partition or the headers: its index in a row, or -1. */
static int
open_special(KafkaPublication *publication, Relation rel, const char *name, Oid *type)
{
	AttrNumber	attnum;

	if (name == NULL)
		return -1;
	attnum = find_column(rel, name);
	*type = getBaseType(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid);
	publication->natts = Max(publication->natts, attnum);
	return attnum - 1;
}

/* The type of a column that gives a part of the message. */
static void
check_special(const KafkaPublication *publication)
{
	const PublishArguments *arguments = &publication->arguments;
	Oid			type = publication->partition_type;

	if (publication->partition_attr >= 0 && type != INT2OID && type != INT4OID && type != INT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of type %s cannot give a partition",
						arguments->partition_column, format_type_be(type)),
				 errhint("It has to be an integer.")));
	type = publication->headers_type;
	if (publication->headers_attr >= 0 && type != JSONBOID && !KafkaHeaderIsArrayType(type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of type %s cannot give headers",
						arguments->headers_column, format_type_be(type)),
				 errhint("It has to be jsonb or kafka_header[].")));
}

/*
 * The server, as the table's owner reaches it, and the names in the source. The table is not
 * locked: of a partition it is one above, for which it would be too late.
 */
static void
resolve_table(KafkaPublication *publication, Oid published)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(published));
	Form_pg_class table;
	Oid			serverid;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", published);
	table = (Form_pg_class) GETSTRUCT(tuple);
	serverid = KafkaOptionOnlyServer(publication->arguments.server, table->relowner);
	publication->published = published;
	publication->relname = pstrdup(NameStr(table->relname));
	publication->server = KafkaOptionGetServer(serverid, table->relowner);
	ReleaseSysCache(tuple);
	KafkaOptionCheckTopic(publication->server, publication->arguments.topic);
	kafka_publish_open_source(publication);
}

void
kafka_publish_resolve(KafkaPublication *publication, Relation rel, Oid published)
{
	PublishArguments *arguments = &publication->arguments;
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *attnums;

	publication->relid = RelationGetRelid(rel);
	attnums = arguments->columns ? find_columns(rel, arguments->columns, "columns")
		: all_columns(rel);
	publication->columns = open_columns(publication, desc, attnums, &publication->ncolumns);
	attnums = arguments->key ? find_columns(rel, arguments->key, "key") : default_key(rel);
	publication->key = open_columns(publication, desc, attnums, &publication->nkey);
	if (arguments->key_text && publication->nkey > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a key of %d columns cannot be text", publication->nkey),
				 errhint("Leave \"key_format\" out, or name one column: \"key=a\".")));

	publication->partition_attr = open_special(publication, rel, arguments->partition_column,
											   &publication->partition_type);
	publication->headers_attr = open_special(publication, rel, arguments->headers_column,
											 &publication->headers_type);
	check_special(publication);
	if (arguments->headers)
		publication->nheaders =
			KafkaHeaderFromJsonb(DirectFunctionCall1(jsonb_in,
													 CStringGetDatum(arguments->headers)),
								 &publication->headers);

	resolve_table(publication, published);
}
