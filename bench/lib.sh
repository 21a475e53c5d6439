# bench/lib.sh
#		What the sections of the benchmark share: how something is measured, and where that is written.
#		Sourced by bench/run, after dev/lib.sh.
#
# Every measurement is one line of $results, with tabs between: section, case (the data), system,
# round, and the key=value pairs that the measuring program printed. bench/report.py makes the tables
# of it; the names of sections and systems are told there what they mean.

results=
limit=120					# seconds that one measurement may take

# Note what was measured: record SECTION CASE SYSTEM ROUND "key=value ..."
record()
{
	printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$results"
}

# Measure a program, whole: what it takes on the clock and of the processors, from its start to its
# end. It has to print count=N; another number than the one expected is noted as wrong.
#
#	program SECTION CASE SYSTEM ROUND COUNT COMMAND...
program()
{
	local section=$1
	local data=$2
	local system=$3
	local round=$4
	local expected=$5
	local out=$work/tmp/out
	local TIMEFORMAT='wall=%3R user=%3U sys=%3S'
	local status=0
	local printed

	shift 5
	{ time timeout -k 5 "$limit" "$@" >"$out" 2>"$out.err" </dev/null; } 2>"$out.time" || status=$?
	printed=$(grep -o '[a-z0-9_]*=.*' "$out" | tail -n 1 || true)
	if [ "$status" != 0 ]; then
		complain "$section $data $system" "$(tail -n 3 "$out.err")"
		printed="$printed error=status_$status"
	elif ! grep -qw "count=$expected" <<<"$printed"; then
		complain "$section $data $system" "expected count=$expected, got: $printed"
		printed="$printed wrong=1"
	fi
	record "$section" "$data" "$system" "$round" "$printed $(tail -n 1 "$out.time")"
}

# Measure a statement in a session of its own; arguments for bench/pg may come before it. Its result
# has to be the one expected.
#
#	statement SECTION CASE SYSTEM ROUND RESULT [PG-ARGUMENT]... STATEMENT
statement()
{
	local section=$1
	local data=$2
	local system=$3
	local round=$4
	local expected=$5
	local printed

	shift 5
	printed=$(timeout -k 5 "$limit" "$bench/pg" "${@:1:$#-1}" run "${!#}" 2>&1) || true
	if grep -q 'error=' <<<"$printed"; then
		complain "$section $data $system" "$printed"
	elif ! grep -q "result=$expected\$" <<<"$printed"; then
		complain "$section $data $system" "expected $expected, got: $printed"
		printed="$printed wrong=1"
	fi
	record "$section" "$data" "$system" "$round" "$printed"
}

# Measure a statement again and again; arguments as above, without a result.
repeat()
{
	local section=$1
	local data=$2
	local system=$3
	local round=$4
	local printed

	shift 4
	printed=$(timeout -k 5 "$limit" "$bench/pg" "${@:1:$#-1}" loop "${!#}" 2>&1) || true
	grep -q 'error=' <<<"$printed" && complain "$section $data $system" "$printed"
	record "$section" "$data" "$system" "$round" "$printed"
}

# Something is not as it should be: the run goes on, and ends with status 1.
complain()
{
	say "# $1: $2" >&2
	complaints=$((complaints + 1))
}

# Note that something was not measured, and why.
skip()
{
	say "# skipped: $1: $2"
	printf 'skipped\t%s\t%s\n' "$1" "$2" >>"$results"
}

sql()
{
	psql -XqAt -v ON_ERROR_STOP=1 "$@"
}

progress()
{
	say "# $(date +%T) $*"
}
