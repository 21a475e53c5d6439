/*
 * tool.h
 *		The conversation of a tool with the test that drives it: a command a line on standard
 *		input, and for each a line of answer on standard output, "ok", "ok ..." or "error ...".
 */
#ifndef TOOL_H
#define TOOL_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Long enough for any message that a broker takes by default. */
#define TOOL_MAX_LINE (2 * 1024 * 1024)

static inline void tool_answer(const char *fmt,...) __attribute__((format(printf, 1, 2)));
static inline void tool_die(const char *fmt,...) __attribute__((format(printf, 1, 2), noreturn));

/* Answer the present command. */
static inline void
tool_answer(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

/* Give up: what is wrong concerns more than the present command. */
static inline void
tool_die(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

/* The next command without its line end, in a buffer that the next call reuses; NULL at the end. */
static inline char *
tool_command(void)
{
	static char line[TOOL_MAX_LINE];

	if (!fgets(line, sizeof(line), stdin))
		return NULL;
	line[strcspn(line, "\r\n")] = '\0';
	return line;
}

/* Take the next word off a command; "" where there is none. The rest of the line follows. */
static inline char *
tool_word(char **rest)
{
	char	   *word = *rest;

	*rest += strcspn(word, " ");
	if (**rest != '\0')
		*(*rest)++ = '\0';
	return word;
}

#endif							/* TOOL_H */
