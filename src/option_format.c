/*
 * option_format.c
 *		The options of formats: whether they go together, and the characters that csv is made of.
 *
 * csv's are COPY's options of the same names, so COPY's own code checks them, with its own errors.
 */
#include "postgres.h"

#include "commands/copy.h"
#include "commands/defrem.h"
#include "nodes/makefuncs.h"

#include "option_private.h"

static const char *
format_name(KafkaTableFormat format)
{
	switch (format)
	{
		case KAFKA_FORMAT_RAW:
			return "raw";
		case KAFKA_FORMAT_JSON:
			return "json";
		case KAFKA_FORMAT_CSV:
			return "csv";
		case KAFKA_FORMAT_DEBEZIUM:
			return "debezium";
	}
	pg_unreachable();
}

/* Refuse an option that means nothing in the table's format. */
pg_noreturn static void
report_format(const char *option, const char *formats, const KafkaTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			 errmsg("option \"%s\" requires format %s", option, formats),
			 errdetail("The format of the foreign table is %s.", format_name(table->format))));
}

/* Have COPY read its options, and take over what it makes of them. */
static void
apply_csv(KafkaTable *table, List *options)
{
	CopyFormatOptions *copy = palloc0(sizeof(CopyFormatOptions));

	options = lappend(options, makeDefElem("format", (Node *) makeString("csv"), -1));
	ProcessCopyOptions(NULL, copy, true, options);
	table->delimiter = copy->delim[0];
	table->quote = copy->quote[0];
	table->escape = copy->escape[0];
	table->null = copy->null_print;

	/* COPY takes these, and then never sees the end of a line. */
	if (strchr("\r\n", table->quote) != NULL || strchr("\r\n", table->escape) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("quote and escape cannot be newline or carriage return")));
}

void
kafka_option_check_format(KafkaTable *table, List *options)
{
	List	   *csv = NIL;
	const char *on_error = NULL;
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *def = lfirst(lc);
		KafkaOption option;

		(void) kafka_option_lookup(def->defname, defGetString(def), KAFKA_OBJECT_TABLE, &option);
		switch (option.id)
		{
			case KAFKA_OPTION_CSV:
				if (table->format != KAFKA_FORMAT_CSV)
					report_format(option.name, "csv", table);
				csv = lappend(csv, makeDefElem(pstrdup(def->defname), def->arg, -1));
				break;
			case KAFKA_OPTION_STRICT:
				if (table->format != KAFKA_FORMAT_JSON && table->format != KAFKA_FORMAT_CSV &&
					table->strict)
					report_format(option.name, "json or csv", table);
				break;
			case KAFKA_OPTION_ON_ERROR:
			case KAFKA_OPTION_IGNORE_JUNK:
				if (on_error != NULL)
					ereport(ERROR,
							(errcode(ERRCODE_DUPLICATE_OBJECT),
							 errmsg("options \"%s\" and \"%s\" are the same option", on_error,
									option.name)));
				on_error = option.name;
				break;
			default:
				break;
		}
	}
	if (table->format == KAFKA_FORMAT_CSV)
		apply_csv(table, csv);
}
