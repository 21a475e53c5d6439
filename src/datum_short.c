/*
 * datum_short.c
 *		Short cuts past input functions: the most usual spellings of some types.
 *
 * timestamptz_in() looks at a text as words of unknown order in any of a dozen notations, which
 * costs more than all else that is done for a row. Messages have their times in one notation.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "pgtime.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "datum_short.h"

#define MAX_DIGITS 18			/* which no int64 is too small for */

bool
KafkaDatumShortNumeric(const char *text, Size len, Datum *value)
{
	const char *end = text + len;
	const char *point = NULL;
	bool		negative = len > 0 && *text == '-';
	int			ndigits = 0;
	int64		number = 0;

	for (text += negative; text < end; text++)
	{
		unsigned	digit = (unsigned char) *text - '0';

		if (digit <= 9)
		{
			if (++ndigits > MAX_DIGITS)
				return false;
			number = number * 10 + digit;
		}
		else if (*text == '.' && point == NULL && ndigits > 0)
			point = text + 1;
		else
			return false;
	}
	if (ndigits == 0 || point == end)
		return false;
	*value = NumericGetDatum(int64_div_fast_to_numeric(negative ? -number : number,
													   point ? (int) (end - point) : 0));
	return true;
}

/* The number that two digits are, or more than 99. */
static inline unsigned
two_digits(const char *text)
{
	unsigned	tens = (unsigned char) text[0] - '0';
	unsigned	ones = (unsigned char) text[1] - '0';

	return tens <= 9 && ones <= 9 ? tens * 10 + ones : 100;
}

/* yyyy-mm-dd, of which there are ten bytes. */
static inline bool
read_date(const char *text, struct pg_tm *tm)
{
	unsigned	century = two_digits(text);
	unsigned	year = two_digits(text + 2);
	unsigned	month = two_digits(text + 5);
	unsigned	day = two_digits(text + 8);

	if (century > 99 || year > 99 || text[4] != '-' || text[7] != '-')
		return false;
	year += century * 100;
	if (year == 0 || month < 1 || month > 12 || day < 1 ||
		day > (unsigned) day_tab[isleap(year)][month - 1])
		return false;
	tm->tm_year = (int) year;
	tm->tm_mon = (int) month;
	tm->tm_mday = (int) day;
	return true;
}

/* hh:mm:ss, of which there are eight bytes. */
static inline bool
read_time(const char *text, struct pg_tm *tm)
{
	unsigned	hour = two_digits(text);
	unsigned	minute = two_digits(text + 3);
	unsigned	second = two_digits(text + 6);

	if (hour > 23 || minute > 59 || second > 59 || text[2] != ':' || text[5] != ':')
		return false;
	tm->tm_hour = (int) hour;
	tm->tm_min = (int) minute;
	tm->tm_sec = (int) second;
	return true;
}

/* What follows the seconds: a point and digits, or nothing; moves behind it. */
static inline bool
read_fraction(const char **text, const char *end, int *microseconds)
{
	const char *p = *text;
	int			unit = 100000;

	*microseconds = 0;
	if (p == end || *p != '.')
		return true;
	for (p++; p < end && *p >= '0' && *p <= '9'; p++)
	{
		if (unit == 0)
			return false;
		*microseconds += (*p - '0') * unit;
		unit /= 10;
	}
	*text = p;
	return unit < 100000;
}

/* What follows then: Z, or a distance from UTC in seconds, eastwards; all of the rest. */
static inline bool
read_zone(const char *text, const char *end, int *offset)
{
	unsigned	hours;
	unsigned	minutes = 0;

	*offset = 0;
	if (end - text == 1)
		return *text == 'Z';
	if ((end - text != 3 && end - text != 6) || (*text != '+' && *text != '-'))
		return false;
	hours = two_digits(text + 1);
	if (end - text == 6)
	{
		if (text[3] != ':')
			return false;
		minutes = two_digits(text + 4);
	}
	if (hours > MAX_TZDISP_HOUR || minutes > 59)
		return false;
	*offset = (int) (hours * SECS_PER_HOUR + minutes * SECS_PER_MINUTE);
	if (*text == '-')
		*offset = -*offset;
	return true;
}

bool
KafkaDatumShortTime(Oid type, const char *text, Size len, Datum *value)
{
	const char *end = text + len;
	struct pg_tm tm = {.tm_isdst = -1};
	int			date;
	int			microseconds;
	int			offset = 0;
	Timestamp	timestamp;

	if (len < 10 || !read_date(text, &tm))
		return false;
	date = date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE;
	if (type == DATEOID)
	{
		*value = DateADTGetDatum(date);
		return len == 10;
	}

	if (len < 19 || (text[10] != 'T' && text[10] != ' ') || !read_time(text + 11, &tm))
		return false;
	text += 19;
	if (!read_fraction(&text, end, &microseconds))
		return false;
	if (text < end)
	{
		if (!read_zone(text, end, &offset))
			return false;
	}
	else if (type == TIMESTAMPTZOID)
		offset = -DetermineTimeZoneOffset(&tm, session_timezone);

	timestamp = date * USECS_PER_DAY + tm.tm_hour * USECS_PER_HOUR +
		tm.tm_min * USECS_PER_MINUTE + tm.tm_sec * USECS_PER_SEC + microseconds;
	/* Without a zone of its own, the type has no use for the text's. */
	if (type == TIMESTAMPTZOID)
		timestamp -= offset * USECS_PER_SEC;
	*value = TimestampGetDatum(timestamp);
	return true;
}
