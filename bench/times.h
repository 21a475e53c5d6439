/*
 * times.h
 *		A clock, and the percentiles of what it measured.
 */
#ifndef TIMES_H
#define TIMES_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Microseconds. */
static inline double
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static inline int
compare_times(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

/* The first, which may have had to set things up, and what half and 99 in 100 of the others needed. */
static inline void
print_times(double *times, int n)
{
	double		first = times[0];

	if (n > 1)
	{
		times++;
		n--;
	}
	qsort(times, (size_t) n, sizeof(double), compare_times);
	printf(" first=%.1f p50=%.1f p99=%.1f", first, times[n / 2], times[(long) n * 99 / 100]);
}

#endif							/* TIMES_H */
