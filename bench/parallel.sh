# bench/parallel.sh
#		A scan with much work for each row, by one process and by several. Sourced by bench/run.

heavy="max(md5(md5(md5(md5(md5(value))))))"

section_parallel()
{
	local topic=log4
	local round
	local workers=(-s "SET max_parallel_workers_per_gather = 2" -s "SET parallel_setup_cost = 0"
		-s "SET parallel_tuple_cost = 0")

	have_topic "$topic" || prepare_topic "$topic"
	if ! sql -c "SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0;
		SET parallel_tuple_cost = 0; EXPLAIN SELECT $heavy FROM $topic" | grep -q Gather; then
		skip "parallel" "this kafka_fdw plans no parallel scan"
		return
	fi
	for ((round = 1; round <= rounds; round++)); do
		progress "parallel scans, round $round of $rounds"
		statement parallel "$topic" alone "$round" "[0-9a-f]*" -s "$(warm_up "$topic")" \
			"SELECT $heavy FROM $topic"
		statement parallel "$topic" workers "$round" "[0-9a-f]*" -s "$(warm_up "$topic")" \
			"${workers[@]}" "SELECT $heavy FROM $topic"
	done
}
