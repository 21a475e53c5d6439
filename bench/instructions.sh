# bench/instructions.sh
#		Instructions that a row costs, counted by valgrind's callgrind: they do not depend on what else
#		the machine does. Sourced by bench/run, which has it last: the server is started anew.
#
# The same statement runs in two sessions, for fewer and for more rows; the difference is the rows'.

# Wait until the server answers: under valgrind it is slow.
wait_for_server()
{
	local i

	for ((i = 0; i < 600; i++)); do
		pg_isready -q && return
		sleep 0.1
	done
	die "PostgreSQL does not start under valgrind"
}

# Run a statement in a session; prints the backend's id, whose counts are complete when it has ended.
counted_session()
{
	local pid

	pid=$(sql -c "SELECT pg_backend_pid()" -c "$1" | head -n 1)
	gone "$pid" 600 || die "a backend does not end under valgrind"
	say "$pid"
}

# What a row of a statement costs. It is run with FEW or MANY in place of SIZE, and with their numbers in
# place of ROWS.
#
#	count_rows CASE FEWER MORE STATEMENT
count_rows()
{
	local few=${4//SIZE/few}
	local many=${4//SIZE/many}
	local printed

	progress "counting instructions: $1"
	few=$(counted_session "${few//ROWS/$2}")
	many=$(counted_session "${many//ROWS/$3}")
	printed=$("$bench/instructions.py" "$work/tmp/callgrind.$few" "$work/tmp/callgrind.$many" $(($3 - $2)))
	record instructions "$1" ours 1 "$printed"
}

# Topics of fewer and of more rows, each with a foreign table: KIND_few, KIND_many.
prepare_counted()
{
	local kind=$1
	local size

	for size in few many; do
		sql -c "SELECT kafka_create_topic('${kind}_$size', 1)" >/dev/null
		"$bench/rdkafka" fill "$KAFKA_BOOTSTRAP" "${kind}_$size" "$kind" "${!size}" 1 none 1000000 >/dev/null
		if [ "$kind" = log ]; then
			sql -c "CREATE FOREIGN TABLE log_$size (partition int, \"offset\" bigint,
				\"timestamp\" timestamptz, key text, value text) SERVER kafka" \
				-c "CREATE UNLOGGED TABLE heap_$size AS SELECT value FROM log_$size" \
				-c "VACUUM (FREEZE, ANALYZE) heap_$size"
		else
			sql -c "CREATE FOREIGN TABLE ${kind}_$size ($fields) SERVER kafka OPTIONS (format '$kind')"
		fi
	done
}

section_instructions()
{
	local few=$((20000 / (scale > 1 ? 2 : 1)))
	local many=$((60000 / (scale > 1 ? 3 : 1)))
	local bindir=$("$pg_config" --bindir)
	local kind

	if ! command -v valgrind >/dev/null; then
		skip "instructions" "valgrind is not installed"
		return
	fi
	for kind in log json csv; do
		prepare_counted "$kind"
	done
	sql -c "SELECT kafka_create_topic('counted', 1)" \
		-c "CREATE FOREIGN TABLE counted (value text) SERVER kafka" >/dev/null

	as_user "$bindir/pg_ctl" -D "$work/data" -s -w stop
	as_user valgrind --tool=callgrind --trace-children=yes --separate-threads=yes \
		--callgrind-out-file="$work/tmp/callgrind.%p" "$bindir/postgres" -D "$work/data" -p "$PGPORT" \
		-k "$work/tmp" -c listen_addresses= -c fsync=off >"$work/tmp/valgrind.log" 2>&1 &
	wait_for_server
	count_rows scan-count "$few" "$many" "SELECT count(*) FROM log_SIZE"
	count_rows insert "$few" "$many" "INSERT INTO counted SELECT value FROM heap_SIZE"
	# Enough to know that it works.
	[ "$length" != short ] || return 0
	count_rows scan-sum "$few" "$many" "SELECT sum(octet_length(value)) FROM log_SIZE"
	count_rows scan-all "$few" "$many" "SELECT count(partition), count(\"offset\"), count(\"timestamp\"),
		count(key), sum(octet_length(value)) FROM log_SIZE"
	for kind in json csv; do
		count_rows "scan-$kind" "$few" "$many" "SELECT $all_fields FROM ${kind}_SIZE"
	done
	count_rows send 100 300 "SELECT kafka_send('counted', 'this is a test log') FROM
		generate_series(1, ROWS)"
}
