# dev/lib.sh
#		What the scripts of this folder share. Sourced by bash.
#
# A run of dev/test or dev/demo keeps everything in one work folder: a copy of the sources, a
# PostgreSQL, a broker. Every process that it starts carries the folder's name in its environment,
# so that all of them can be found and ended, whichever way the run ends. Servers are run by a user
# other than root, as PostgreSQL demands, and listen on the loopback interface alone.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${KAFKA_FDW_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/kafka_fdw}

say()
{
	printf '%s\n' "$*"
}

die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Is there a process of this id that has not ended? A zombie has, once none of its other threads is
# left: they may hold its ports for a while after the first one has ended.
alive()
{
	local stat
	local threads

	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
	stat=${stat##*) }
	threads=("/proc/$1/task/"[0-9]*)
	[ "${stat%% *}" != Z ] || [ ${#threads[@]} -gt 1 ]
}

# Wait until no process of this id is left; at most so many tenths of a second.
gone()
{
	local i

	for ((i = 0; i < $2; i++)); do
		alive "$1" || return 0
		sleep 0.1
	done
	! alive "$1"
}

# A port of the loopback interface that nobody listens on. It is taken from below the range that
# outgoing connections use, so that a server which comes back finds it free.
free_port()
{
	local port

	while :; do
		port=$((10240 + (RANDOM * 32768 + RANDOM) % 20000))
		if ! (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
			say "$port"
			return
		fi
	done
}

# Run a command, and answer signals meanwhile: bash puts them off while a command is in the foreground.
attend()
{
	"$@" &
	wait $!
}

# ---- Users

is_root()
{
	[ "$(id -u)" = 0 ]
}

# Run a command with the rights to install packages.
as_root()
{
	if is_root; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "root is needed to install packages: $*"
	fi
}

# The user who runs servers and tests: this one, or where this is root the postgres user.
run_user()
{
	if ! is_root; then
		id -un
	elif id postgres >/dev/null 2>&1; then
		say postgres
	else
		say nobody
	fi
}

# Run a command as that user, at home in the work folder.
as_user()
{
	if is_root; then
		runuser -u "$(run_user)" -- env HOME="$work/home" USER="$(run_user)" "$@"
	else
		"$@"
	fi
}

# ---- What is installed

# The pg_config to build with: PG_CONFIG, else the first of version 15 or later that has server
# headers and a server. Fails where there is none.
find_pg_config()
{
	local candidate
	local bindir

	for candidate in ${PG_CONFIG:-$(command -v pg_config || true) \
		$(ls -d /usr/lib/postgresql/*/bin/pg_config /usr/pgsql-*/bin/pg_config 2>/dev/null | sort -Vr)}; do
		bindir=$("$candidate" --bindir 2>/dev/null) || continue
		# Debian ships the makefiles of PGXS without the headers.
		if [ "$(pg_major "$candidate")" -ge 15 ] && [ -f "$("$candidate" --pgxs)" ] &&
			[ -f "$("$candidate" --includedir-server)/postgres.h" ] &&
			[ -x "$bindir/initdb" ] && [ -x "$bindir/postgres" ]; then
			say "$candidate"
			return
		fi
	done
	return 1
}

pg_major()
{
	"$1" --version | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p'
}

# A Go that can build t/interop; fails where there is none.
find_go()
{
	local candidate

	for candidate in "${GO:-}" "$(command -v go || true)" /usr/local/go/bin/go \
		$(ls -d /usr/lib/go-*/bin/go 2>/dev/null | sort -Vr); do
		if [ -x "$candidate" ] &&
			"$candidate" version 2>/dev/null | grep -qE ' go(1\.(19|[2-9][0-9])|[2-9])'; then
			say "$candidate"
			return
		fi
	done
	return 1
}

# Build Go's clients (t/interop) as this program, with the caches of who calls this.
build_interop()
{
	(cd "$root/t/interop" && go build -buildvcs=false -o "$1" .)
}

# ---- The work folder

# Make it, see to it that it goes when this script does, and copy the sources into it: tests write
# beside them, as another user perhaps.
work_open()
{
	local base=${TMPDIR:-/tmp}
	local name

	# The servers' user must be able to reach it.
	if is_root && ! runuser -u "$(run_user)" -- test -x "$base"; then
		base=/tmp
	fi
	work=$(mktemp -d "$base/kafka_fdw.XXXXXX")
	trap work_close EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	chmod 755 "$work"

	# This script may be killed without a chance to clean up.
	setsid "$root/dev/reaper" $$ "$work" </dev/null >/dev/null 2>&1 &
	reaper=$!
	export KAFKA_FDW_WORK=$work
	# What names another server to libpq; PG_CONFIG and PG_TEST_... stay.
	for name in "${!PG@}"; do
		case $name in PG_*) ;; *) unset "$name" ;; esac
	done

	mkdir "$work/src" "$work/tmp" "$work/home" "$work/data"
	(cd "$root" && tar c --exclude-vcs --exclude='*.o' --exclude='*.so' --exclude='*.bc' \
		--exclude='*.d' --exclude=./results --exclude=./tmp_check --exclude=./log .) |
		tar x -C "$work/src" --no-same-owner
	if is_root; then
		chown -R "$(run_user)" "$work/src" "$work/tmp" "$work/home" "$work/data"
	fi
	export TMPDIR=$work/tmp
}

work_close()
{
	local status=$?

	trap '' HUP INT TERM
	trap - EXIT
	work_sweep "$work"
	kill "$reaper" 2>/dev/null || true
	exit "$status"
}

# End every process of a work folder, and remove it. What they hold is to be thrown away, so nobody
# is asked politely; only PostgreSQL is, since it has shared memory to give back.
work_sweep()
{
	local folder=$1
	local pids
	local file
	local pid
	local i

	[ -d "$folder" ] || return 0
	# Or the search would find itself.
	unset KAFKA_FDW_WORK
	while pids=$(grep -lzsxF "KAFKA_FDW_WORK=$folder" /proc/[0-9]*/environ | grep -o '[0-9]*' || true) &&
		[ -n "$pids" ]; do
		kill -9 $pids 2>/dev/null || true
		for pid in $pids; do
			gone "$pid" 50 || break 2
		done
	done
	# A server writes over its environment, but works in its data folder.
	find "$folder" -name postmaster.pid 2>/dev/null | while read -r file; do
		read -r pid <"$file" || continue
		[ "/proc/$pid/cwd" -ef "${file%/*}" ] || continue
		kill -QUIT "$pid" 2>/dev/null && kill -CONT "$pid" 2>/dev/null
		gone "$pid" 100 || kill -9 "$pid" 2>/dev/null || true
	done
	# Its last processes may still be writing to it.
	for ((i = 0; i < 50; i++)); do
		rm -rf "$folder" 2>/dev/null && break
		sleep 0.1
	done
}

# ---- PostgreSQL

# Build the copy of the sources, and install it beside a copy of PostgreSQL's own files, in the work
# folder: the machine's PostgreSQL stays as it is, and two runs do not meet. PostgreSQL finds its
# files from where its program stands, so "$prefix" has the same tree, of links for the most part.
# Sets pg_config to the one of the copy. Arguments go to make.
build()
{
	local original
	local bindir
	local libdir
	local sharedir
	local file

	original=$(find_pg_config) || die "no pg_config of PostgreSQL 15 or later; see dev/deps"
	original=$("$original" --bindir)/pg_config
	bindir=$("$original" --bindir)
	libdir=$("$original" --pkglibdir)
	sharedir=$("$original" --sharedir)
	prefix=$work/prefix

	# JIT bitcode is of no use to the tests, and takes as long as the rest.
	attend as_user make -C "$work/src" -s PG_CONFIG="$original" with_llvm=no "$@" || return 1

	mkdir -p "$prefix$bindir" "$prefix$libdir" "$prefix$sharedir/extension"
	cp "$bindir"/* "$prefix$bindir"
	for file in "$libdir"/*; do
		case ${file##*/} in kafka_fdw*) ;; *) ln -s "$file" "$prefix$libdir" ;; esac
	done
	for file in "$sharedir"/*; do
		[ "${file##*/}" = extension ] || ln -s "$file" "$prefix$sharedir"
	done
	for file in "$sharedir"/extension/*; do
		case ${file##*/} in kafka_fdw*) ;; *) ln -s "$file" "$prefix$sharedir/extension" ;; esac
	done
	pg_config=$prefix$bindir/pg_config
	install_again
}

# Install what has been built.
install_again()
{
	make -C "$work/src" -s PG_CONFIG="${pg_config#"$prefix"}" with_llvm=no DESTDIR="$prefix" install
}

# Start a PostgreSQL in the work folder; sets PGHOST, PGPORT, PGUSER and PGDATABASE.
pg_start()
{
	local bindir
	local tries

	bindir=$("$pg_config" --bindir)
	as_user "$bindir/initdb" -D "$work/data" -U postgres -A trust -N -E UTF8 --no-locale \
		>"$work/tmp/initdb.log" 2>&1 || {
		cat "$work/tmp/initdb.log"
		return 1
	}
	for tries in 1 2 3; do
		export PGPORT=$(free_port)
		as_user "$bindir/pg_ctl" -D "$work/data" -l "$work/tmp/postgres.log" -s -w start \
			-o "-p $PGPORT -k '$work/tmp' -c listen_addresses=127.0.0.1 -c fsync=off" &&
			break
		[ "$tries" -lt 3 ] || {
			cat "$work/tmp/postgres.log"
			return 1
		}
	done
	export PGHOST=$work/tmp PGUSER=postgres PGDATABASE=postgres
	export PATH=$bindir:$PATH
}

# ---- Kafka

kafka_version()
{
	sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$root/dev/kafka.xml"
}

kafka_secure_version()
{
	sed -n 's:.*<kafka.secure.version>\(.*\)</kafka.secure.version>.*:\1:p' "$root/dev/kafka.xml"
}

# Have a folder of the cache where the servers' user can read it: he cannot look into root's.
readable()
{
	if ! is_root || runuser -u "$(run_user)" -- test -r "$1" -a -x "$1"; then
		say "$1"
		return
	fi
	# Links cost nothing, but do not reach to another file system.
	cp -al "$1" "$work/" 2>/dev/null || {
		rm -rf "$work/${1##*/}"
		cp -a "$1" "$work/"
	}
	say "$work/${1##*/}"
}

# A random id for a new cluster.
cluster_id()
{
	head -c 16 /dev/urandom | base64 | tr '+/' ab | cut -c 1-22
}

# Does the broker at a port answer? It is asked for the brokers of its cluster (Metadata, version 1, no
# topics), and is ready when it knows of so many.
kafka_ready()
{
	local answer

	answer=$(
		{
			exec 3<>"/dev/tcp/127.0.0.1/$1"
			printf '\0\0\0\x0e\0\x03\0\x01\0\0\0\x07\xff\xff\0\0\0\0' >&3
			timeout 5 head -c 12 <&3 | od -An -td4 --endian=big
		} 2>/dev/null
	) || return 1
	set -- $answer "${2:-1}"
	[ $# = 4 ] && [ "$2" = 7 ] && [ "$3" -ge "$4" ]
}

# Have what lives in the folder "$data" end with KAFKA_OWNER_PID, however that ends, by the command
# "watch" of this script. It calls the script's clean.
watch_owner()
{
	[ -n "${KAFKA_OWNER_PID:-}" ] || return 0
	unwatch_owner
	KAFKA_DATA=$data setsid "$0" watch </dev/null >/dev/null 2>&1 9>&- &
	echo $! >"$data/watch"
	disown $!
}

unwatch_owner()
{
	local watch

	if { read -r watch <"$data/watch"; } 2>/dev/null; then
		kill "$watch" 2>/dev/null || true
	fi
}

watch()
{
	while alive "$KAFKA_OWNER_PID"; do
		sleep 1
	done
	rm -f "$data/watch"
	clean
}

# Start a broker in the work folder; sets KAFKA_BOOTSTRAP, and KAFKA_LIBS for further ones.
broker_start()
{
	local libs

	libs=$("$root/dev/broker" fetch) || return 1
	libs=$(readable "$libs")
	export KAFKA_LIBS=$libs
	KAFKA_BOOTSTRAP=$(as_user env KAFKA_DATA="$work/tmp/broker" KAFKA_OWNER_PID=$$ \
		"$work/src/dev/broker" start) || return 1
	export KAFKA_BOOTSTRAP
}
