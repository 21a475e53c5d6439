/*
 * datum_short.h
 *		Short cuts past input functions: the most usual spellings of some types.
 *
 * Each returns false where it has none for the text, which then is the input function's: to read
 * some other way, or to refuse. What is accepted means the same under all settings, those of
 * the session's time zone apart, and is what the input function makes of it without a typmod.
 * New datums are in the current context.
 */
#ifndef KAFKA_DATUM_SHORT_H
#define KAFKA_DATUM_SHORT_H

/* numeric: at most 18 digits, with or without a point. */
extern bool KafkaDatumShortNumeric(const char *text, Size len, Datum *value);

/*
 * date, timestamp and timestamptz, as ISO 8601 and to_json() have them: 2024-02-29, and
 * 2024-02-29T12:00:00, with a space for the T, up to six digits behind a point, Z, +hh or +hh:mm.
 */
extern bool KafkaDatumShortTime(Oid type, const char *text, Size len, Datum *value);

#endif							/* KAFKA_DATUM_SHORT_H */
