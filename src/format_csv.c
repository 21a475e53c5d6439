/*
 * format_csv.c
 *		Format csv: a message's value is one row of CSV, and columns are its fields by their order.
 *
 * What is a field, what is quoted and what is NULL is as COPY has it, in both directions. COPY's own
 * parser would not do: it reads a stream, in which an unterminated quote swallows the messages
 * behind it, the first line end decides what the others have to be, the end of the input is the end
 * for good, and whatever is wrong is raised. t/053_csv.pl compares the two on random data.
 *
 * Fields are found first and made into datums afterwards. Most lie in the message as they are;
 * those that have a quote in their midst are put together in the row's context.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "format.h"
#include "text.h"

/* A field as it was found. */
typedef struct CsvPiece
{
	const char *text;			/* NULL: it is NULL */
	Size		len;
} CsvPiece;

typedef enum CsvProblem
{
	CSV_OK,
	CSV_UNTERMINATED,			/* a quote is open at the end */
	CSV_LINE_FEED,				/* a line ends, but not the message */
	CSV_CARRIAGE_RETURN
} CsvProblem;

/* The characters that count, of reading and writing alike. */
typedef struct CsvSyntax
{
	char		delimiter;
	char		quote;
	char		escape;
	const char *null;
	Size		nulllen;
} CsvSyntax;

typedef struct CsvReader
{
	CsvSyntax	syntax;
	bool		plain[256];		/* characters that have no meaning outside quotes */
	bool		strict;
	bool		strict_extra;
	const KafkaField *fields;
	int			nfields;
	int			nread;			/* fields that have to be found: up to the last one wanted */
	CsvPiece   *pieces;			/* room for so many */
	KafkaText	text;
} CsvReader;

typedef struct CsvWriter
{
	CsvSyntax	syntax;
	const KafkaField *fields;
	int			nfields;
	int			encoding;
} CsvWriter;

static void
init_syntax(CsvSyntax *syntax, const KafkaTable *table)
{
	syntax->delimiter = table->delimiter;
	syntax->quote = table->quote;
	syntax->escape = table->escape;
	syntax->null = table->null;
	syntax->nulllen = strlen(table->null);
}

/* ------------------------------------------------------------------------
 * Finding the fields
 * ------------------------------------------------------------------------ */

static void *
csv_open_read(const KafkaTable *table, const KafkaField *fields, int nfields,
			  MemoryContext rowcontext)
{
	CsvReader  *csv = palloc0(sizeof(CsvReader));

	init_syntax(&csv->syntax, table);
	memset(csv->plain, true, sizeof(csv->plain));
	csv->plain[(unsigned char) table->delimiter] = false;
	csv->plain[(unsigned char) table->quote] = false;
	csv->plain['\n'] = false;
	csv->plain['\r'] = false;
	csv->strict = table->strict;
	csv->strict_extra = table->strict_extra;
	csv->fields = fields;
	csv->nfields = nfields;
	for (int i = 0; i < nfields; i++)
	{
		if (fields[i].wanted || csv->strict_extra)
			csv->nread = i + 1;
	}
	csv->pieces = palloc(csv->nread * sizeof(CsvPiece));
	KafkaTextInit(&csv->text, table->encoding, KAFKA_INVALID_ERROR);
	return csv;
}

/* The first character that has a meaning, or the end. */
static inline const char *
skip_plain(const CsvReader *csv, const char *p, const char *end)
{
	while (p < end && csv->plain[(unsigned char) *p])
		p++;
	return p;
}

/*
 * The text of a quoted section, which p is the first character of, goes behind *out. Returns the
 * closing quote, or NULL where there is none.
 */
static const char *
copy_quoted(const CsvSyntax *syntax, const char *p, const char *end, char **out)
{
	for (; p < end; p++)
	{
		if (*p == syntax->escape && p + 1 < end &&
			(p[1] == syntax->escape || p[1] == syntax->quote))
			p++;
		else if (*p == syntax->quote)
			return p;
		*(*out)++ = *p;
	}
	return NULL;
}

/*
 * A field with quotes in it, of which there can be several, anywhere: "start" is its beginning, p
 * its first quote. Returns its end.
 */
static const char *
read_quoted(const CsvReader *csv, const char *start, const char *p, const char *end,
			CsvPiece *piece, CsvProblem *problem)
{
	const CsvSyntax *syntax = &csv->syntax;
	char	   *buffer = palloc(end - start + 1);
	char	   *out = buffer;

	for (;;)
	{
		memcpy(out, start, p - start);
		out += p - start;
		if (p == end || *p == syntax->delimiter)
			break;
		if (*p != syntax->quote)
		{
			*problem = *p == '\n' ? CSV_LINE_FEED : CSV_CARRIAGE_RETURN;
			return p;
		}
		p = copy_quoted(syntax, p + 1, end, &out);
		if (p == NULL)
		{
			*problem = CSV_UNTERMINATED;
			return end;
		}
		start = p + 1;
		p = skip_plain(csv, start, end);
	}
	piece->text = buffer;
	piece->len = out - buffer;
	return p;
}

/* A field from p on. Returns its end, which is a delimiter, or the end of all. */
static inline const char *
read_field(const CsvReader *csv, const char *p, const char *end, CsvPiece *piece,
		   CsvProblem *problem)
{
	const CsvSyntax *syntax = &csv->syntax;
	const char *start = p;

	/* A field that is quoted as a whole, with nothing in it that is escaped */
	if (p < end && *p == syntax->quote && syntax->escape == syntax->quote)
	{
		const char *close = memchr(p + 1, syntax->quote, end - p - 1);

		if (close != NULL && (close + 1 == end || close[1] == syntax->delimiter))
		{
			piece->text = p + 1;
			piece->len = close - p - 1;
			return close + 1;
		}
	}

	p = skip_plain(csv, p, end);
	if (likely(p == end || *p == syntax->delimiter))
	{
		piece->text = start;
		piece->len = p - start;
		if (piece->len == syntax->nulllen && memcmp(start, syntax->null, piece->len) == 0)
			piece->text = NULL;
		return p;
	}
	return read_quoted(csv, start, p, end, piece, problem);
}

/*
 * The message's fields, as many as are to be read. Returns how many there are before something is
 * wrong; *more is true where there are others behind them. Where that is bad data itself, so is
 * what may be wrong with them, which COPY would come to first.
 */
static int
split_message(CsvReader *csv, const char *p, const char *end, bool *more, CsvProblem *problem)
{
	int			count = 0;
	CsvPiece	extra;

	*more = true;
	*problem = CSV_OK;
	while (count < csv->nread || csv->strict_extra)
	{
		p = read_field(csv, p, end, count < csv->nread ? &csv->pieces[count] : &extra, problem);
		if (*problem != CSV_OK)
			break;
		count++;
		if (p == end)
		{
			*more = count > csv->nread;
			break;
		}
		p++;
	}
	return Min(count, csv->nread);
}

/* The line end that a message may have behind its row is none of the row. */
static const char *
end_of_row(const char *data, Size len)
{
	if (len > 0 && data[len - 1] == '\n')
	{
		len--;
		if (len > 0 && data[len - 1] == '\r')
			len--;
	}
	return data + len;
}

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------ */

static void
report_problem(CsvProblem problem, KafkaFailure *failure)
{
	switch (problem)
	{
		case CSV_UNTERMINATED:
			KafkaFailureReport(failure, ERRCODE_BAD_COPY_FILE_FORMAT, NULL,
							   "unterminated CSV quoted field");
			break;
		case CSV_LINE_FEED:
			KafkaFailureReport(failure, ERRCODE_BAD_COPY_FILE_FORMAT,
							   "A message is one row; within one, a newline has to be quoted.",
							   "unquoted newline found in data");
			break;
		case CSV_CARRIAGE_RETURN:
			KafkaFailureReport(failure, ERRCODE_BAD_COPY_FILE_FORMAT,
							   "A message is one row; within one, a carriage return has to be quoted.",
							   "unquoted carriage return found in data");
			break;
		case CSV_OK:
			break;
	}
}

/* The datum of a field that is there. */
static void
read_piece(const CsvReader *csv, const KafkaField *field, const CsvPiece *piece, Datum *values,
		   bool *isnull, KafkaFailure *failure)
{
	const CsvSyntax *syntax = &csv->syntax;
	const char *text = piece->text;
	Size		len = piece->len;
	int			attr = field->attnum - 1;

	if (text == NULL && field->force_not_null)
		text = syntax->null;
	else if (text != NULL && field->force_null && len == syntax->nulllen &&
			 memcmp(text, syntax->null, len) == 0)
		text = NULL;
	if (!KafkaDatumReadText(field->reader, text, len, failure, &values[attr], &isnull[attr]))
		isnull[attr] = true;
}

static void
csv_read(void *state, const KafkaMessage *message, Datum *values, bool *isnull,
		 KafkaFailure *failure)
{
	CsvReader  *csv = state;
	const char *data = message->value;
	Size		len = message->valuelen;
	int			count;
	bool		more;
	CsvProblem	problem;

	if (!KafkaTextDecode(&csv->text, &data, &len))
	{
		KafkaTextReport(&csv->text, data, len,
						"Set the table's option encoding to that of the messages.", failure);
		return;
	}
	count = split_message(csv, data, end_of_row(data, len), &more, &problem);
	report_problem(problem, failure);
	if (problem == CSV_OK && more && csv->strict_extra)
		KafkaFailureReport(failure, ERRCODE_BAD_COPY_FILE_FORMAT, NULL,
						   "extra data after last expected column");

	for (int i = 0; i < csv->nread; i++)
	{
		const KafkaField *field = &csv->fields[i];
		int			attr = field->attnum - 1;

		failure->column = field->column;
		if (i >= count && problem != CSV_OK)
			break;				/* which says enough */
		if (i >= count && csv->strict)
		{
			KafkaFailureReport(failure, ERRCODE_BAD_COPY_FILE_FORMAT, NULL,
							   "missing data for column \"%s\"", field->column);
			break;				/* so does this of the others */
		}
		if (!field->wanted)
			continue;
		if (i < count)
			read_piece(csv, field, &csv->pieces[i], values, isnull, failure);
		else if (!KafkaDatumReadText(field->reader, NULL, 0, failure, &values[attr],
									 &isnull[attr]))
			isnull[attr] = true;
	}
}

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------ */

static void *
csv_open_write(const KafkaTable *table, const KafkaField *fields, int nfields)
{
	CsvWriter  *csv = palloc0(sizeof(CsvWriter));

	init_syntax(&csv->syntax, table);
	csv->fields = fields;
	csv->nfields = nfields;
	csv->encoding = table->encoding;
	return csv;
}

/*
 * As COPY TO: what would be read as something else; and the end-of-data marker, alone on its line,
 * in case the messages are made a file for COPY FROM.
 */
static bool
needs_quotes(const CsvWriter *csv, const char *text)
{
	char		special[] = {csv->syntax.delimiter, csv->syntax.quote, '\n', '\r', '\0'};

	return strcmp(text, csv->syntax.null) == 0 || text[strcspn(text, special)] != '\0' ||
		(csv->nfields == 1 && strcmp(text, "\\.") == 0);
}

static void
append_field(StringInfo row, const CsvWriter *csv, const char *text)
{
	const CsvSyntax *syntax = &csv->syntax;

	if (!needs_quotes(csv, text))
	{
		appendStringInfoString(row, text);
		return;
	}
	appendStringInfoChar(row, syntax->quote);
	for (; *text != '\0'; text++)
	{
		if (*text == syntax->quote || *text == syntax->escape)
			appendStringInfoChar(row, syntax->escape);
		appendStringInfoChar(row, *text);
	}
	appendStringInfoChar(row, syntax->quote);
}

static void
csv_write(void *state, const Datum *values, const bool *isnull, KafkaOutgoing *message)
{
	CsvWriter  *csv = state;
	StringInfoData row;

	initStringInfo(&row);
	for (int i = 0; i < csv->nfields; i++)
	{
		const KafkaField *field = &csv->fields[i];
		int			attr = field->attnum - 1;
		Size		len;

		if (i > 0)
			appendStringInfoChar(&row, csv->syntax.delimiter);
		if (!field->wanted || isnull[attr])
			appendStringInfoString(&row, csv->syntax.null);
		else
			append_field(&row, csv, KafkaDatumWriteText(field->writer, values[attr], &len));
	}
	message->value = row.data;
	message->valuelen = row.len;
	KafkaTextEncode(csv->encoding, &message->value, &message->valuelen);
}

const KafkaFormat KafkaFormatCsv = {
	.open_read = csv_open_read,
	.read = csv_read,
	.open_write = csv_open_write,
	.write = csv_write
};
