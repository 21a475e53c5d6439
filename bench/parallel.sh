# bench/parallel.sh
#		A scan with much work for each row, by one process and by several. Sourced by bench/run.

heavy="max(md5(md5(md5(md5(md5(value))))))"

# Two workers, whatever the planner thinks of so short a topic.
workers="SET max_parallel_workers_per_gather = 2; SET min_parallel_table_scan_size = 0;
	SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0"

section_parallel()
{
	local topic=log4
	local round
	local found

	have_topic "$topic" || prepare_topic "$topic"
	sql -c "ANALYZE $topic"
	found=$(sql -c "$workers" -c "EXPLAIN SELECT $heavy FROM $topic")
	if ! grep -q "Workers Planned: 2" <<<"$found"; then
		skip "parallel" "this kafka_fdw plans no parallel scan"
		return
	fi
	found=$(sql -c "SELECT $heavy FROM $topic")
	for ((round = 1; round <= rounds; round++)); do
		progress "parallel scans, round $round of $rounds"
		statement parallel "$topic" alone "$round" "$found" -s "$(warm_up "$topic")" \
			"SELECT $heavy FROM $topic"
		statement parallel "$topic" workers "$round" "$found" -s "$(warm_up "$topic")" -s "$workers" \
			"SELECT $heavy FROM $topic"
	done
}
