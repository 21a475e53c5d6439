# t/072_attacks.pl
#		What SQL may not bring librdkafka to do: it is tried, in every spelling and on every object,
#		by options and by way of the catalogues, and nothing happens.
#
# A library between the two (t/tools/kspy.c) writes down which properties librdkafka is given. It is
# also a librdkafka of tomorrow, with a property that kafka_fdw has not heard of.
use strict;
use warnings;

use FindBin;
use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $folder = PostgreSQL::Test::Utils::tempdir('attacks');
my $spy_log = "$folder/spy";
my $mark = "$folder/mark";
my $plugin = KafkaFdw::Tool->library('kplugin.so');

chmod 0755, $folder;

# The postmaster, and so its backends, start with these.
$ENV{LD_PRELOAD} = KafkaFdw::Tool->library('kspy.so');
$ENV{KSPY_LOG} = $spy_log;
$ENV{KPLUGIN_MARK} = $mark;

# Nobody listens there, and nobody has to.
my $node = KafkaFdw::Test->new_node('attacks', '127.0.0.1:1', server_options => "metadata_timeout '1s'");
delete $ENV{LD_PRELOAD};

my $session = KafkaFdw::Test->session($node);
my $pid = $session->pid;

# What librdkafka was given since the last call: "NAME=VALUE" each.
my $seen = 0;

sub spied
{
	my @lines = -e $spy_log ? split(/\n/, slurp_file($spy_log)) : ();
	my @new = @lines[ $seen .. $#lines ];

	$seen = @lines;
	return @new;
}

# Of these names, in any spelling, librdkafka was given none since then.
sub untouched
{
	my ($names, $name) = @_;
	my %forbidden = map { s/[._]/ /gr => 1 } map { lc } @$names;

	is_deeply([ grep { $forbidden{ lc((split /=/, $_)[0]) =~ s/[._]/ /gr } } spied() ], [],
		"$name: librdkafka was not given it");
	ok(!-e $mark, "$name: nothing was run");
	return;
}

# A list of text in SQL.
sub array
{
	return 'ARRAY[' . join(', ', map { "'" . s/'/''/gr . "'" } @_) . ']::text[]';
}

$node->safe_psql('postgres', q{
	CREATE ROLE owner;
	CREATE ROLE reader IN ROLE pg_read_server_files;
	CREATE ROLE super SUPERUSER;
	CREATE ROLE usager LOGIN;
	CREATE SCHEMA attack;
	GRANT ALL ON SCHEMA attack TO PUBLIC;
	GRANT USAGE ON FOREIGN DATA WRAPPER kafka_fdw TO owner, reader;
	CREATE FOREIGN DATA WRAPPER bare HANDLER kafka_fdw_handler NO VALIDATOR;
	GRANT USAGE ON FOREIGN DATA WRAPPER bare TO owner, reader;

	-- Make something with an option, use it, and take it back: what came of it.
	CREATE FUNCTION attack.attempt(wrapper text, role name, object text, option text, value text)
	RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		opt text := format('%I %L', option, value);
		nobody text := 'brokers ''127.0.0.1:1'', metadata_timeout ''1ms''';
	BEGIN
		EXECUTE format('SET LOCAL ROLE %I', role);
		EXECUTE format('CREATE SERVER opt FOREIGN DATA WRAPPER %I OPTIONS (%s%s)', wrapper, nobody,
			CASE WHEN object = 'server' THEN ', ' || opt ELSE '' END);
		IF object = 'altered server' THEN
			EXECUTE format('ALTER SERVER opt OPTIONS (ADD %s)', opt);
		ELSIF object = 'mapping' THEN
			EXECUTE format('CREATE USER MAPPING FOR CURRENT_USER SERVER opt OPTIONS (%s)', opt);
		ELSIF object = 'public mapping' THEN
			EXECUTE format('CREATE USER MAPPING FOR PUBLIC SERVER opt OPTIONS (%s)', opt);
		ELSIF object = 'wrapper' THEN
			EXECUTE format('ALTER FOREIGN DATA WRAPPER %I OPTIONS (ADD %s)', wrapper, opt);
		ELSIF object = 'import' THEN
			EXECUTE format('IMPORT FOREIGN SCHEMA kafka FROM SERVER opt INTO attack OPTIONS (%s)', opt);
		END IF;
		EXECUTE format('CREATE FOREIGN TABLE attack.t (value text %s) SERVER opt %s',
			CASE WHEN object = 'column' THEN format('OPTIONS (%s)', opt) ELSE '' END,
			CASE WHEN object = 'table' THEN format('OPTIONS (%s)', opt) ELSE '' END);
		EXECUTE 'SELECT count(*) FROM attack.t';
		RETURN 'done';
	EXCEPTION WHEN OTHERS THEN
		RETURN SQLSTATE;
	END $$});

#----------------------------------------------------------------------
# The plugin is one
#----------------------------------------------------------------------

{
	local %ENV = (%ENV, LD_PRELOAD => KafkaFdw::Tool->library('kspy.so'));

	KafkaFdw::Test->tool('ktxn', '127.0.0.1:1', '-', "plugin.library.paths=$plugin")->kill;
}
ok(-e $mark, 'librdkafka runs a plugin when its name is set');
unlink $mark;
is(scalar(grep { /^plugin\.library\.paths=/ } spied()), 1, 'the spy sees what is set');

#----------------------------------------------------------------------
# By options
#----------------------------------------------------------------------

my %attacks = (
	'plugin.library.paths' => $plugin,
	'interceptors' => $plugin,
	'ssl.providers' => 'legacy',
	'ssl.engine.location' => $plugin,
	'ssl.engine.id' => 'dynamic',
	'ssl_engine_callback_data' => '0x41414141',
	'ssl.certificate.verify_cb' => '0x41414141',
	'ssl_key' => '0x41414141',
	'sasl.kerberos.kinit.cmd' => "touch $mark",
	'sasl.kerberos.keytab' => "$mark",
	'sasl.kerberos.principal' => "x; touch $mark",
	'sasl.kerberos.min.time.before.relogin' => '1',
	'internal.termination.signal' => '15',
	'test.mock.num.brokers' => '3',
	'test.mock.broker.rtt' => '1',
	'ut_handle_ProduceResponse' => '0x41414141',
	'log_cb' => '0x41414141',
	'error_cb' => '0x41414141',
	'socket_cb' => '0x41414141',
	'connect_cb' => '0x41414141',
	'closesocket_cb' => '0x41414141',
	'open_cb' => '0x41414141',
	'resolve_cb' => '0x41414141',
	'opaque' => '0x41414141',
	'default_topic_conf' => '0x41414141',
	'offset.store.path' => $mark,
	'offset.store.method' => 'file',
	'log.queue' => 'false',
	'enable.idempotence' => 'false',
	'tomorrow.property' => 'x',
	'tomorrow.alias' => 'x');

# How a name is written, and how else it might be; of these none may be taken for it.
sub spellings
{
	my ($name) = @_;

	return ($name, $name =~ s/\./_/gr);
}

sub misspellings
{
	my ($name) = @_;

	return (uc $name, ucfirst $name, " $name", "$name ", "\t$name", "topic.$name",
		'topic_' . $name =~ s/\./_/gr, ".$name", "$name.", $name =~ s/\./-/gr, $name =~ s/\./. /r,
		"rdkafka.$name", $name =~ s/[._]/\xc2\xa0/r);
}

foreach my $name (sort keys %attacks)
{
	my $outcome = $session->query(sprintf q{
			SELECT string_agg(DISTINCT attack.attempt('kafka_fdw', role, object, option, '%s'), ' ')
			FROM (
				SELECT option, role, object
				FROM unnest(%s) option, unnest(ARRAY['owner', 'reader', 'super']) role,
					unnest(ARRAY['server', 'altered server', 'mapping', 'public mapping', 'table',
						'column']) object
				UNION ALL
				SELECT option, 'super', object
				FROM unnest(%s) option, unnest(ARRAY['wrapper', 'import']) object
				UNION ALL
				SELECT option, 'super', object
				FROM unnest(%s) option, unnest(ARRAY['server', 'mapping', 'table']) object) a},
		$attacks{$name}, array(spellings($name)), array(spellings($name)), array(misspellings($name)));

	is($outcome, 'HV00D', "$name: refused wherever it is tried");
	is($session->stderr, '', "$name: by its name");
	untouched([$name], $name);
}

# Two names of one thing; the second would win.
foreach my $twice (
	[ 'bootstrap_servers', 'metadata_broker_list' ],
	[ 'bootstrap.servers', 'bootstrap_servers' ],
	[ 'brokers', 'metadata.broker.list' ])
{
	my ($state) = $session->failure("CREATE SERVER twice FOREIGN DATA WRAPPER kafka_fdw OPTIONS ("
		  . join(', ', map { qq{"$_" '127.0.0.1:1'} } @$twice) . ')');

	is($state, '42710', "@$twice: the same option twice");
}

# Values that would be more than one.
foreach my $value ("127.0.0.1:1\nplugin.library.paths=$plugin", "127.0.0.1:1;plugin.library.paths=$plugin",
	"127.0.0.1:1 plugin.library.paths=$plugin", "127.0.0.1:1,\x01")
{
	my $outcome = $session->query("SELECT attack.attempt('kafka_fdw', 'owner', 'server', 'brokers', E'"
		  . $value =~ s/\n/\\n/gr . "')");

	isnt($outcome, 'done', 'a value with more in it is no list of brokers');
}
untouched([ 'plugin.library.paths' ], 'in a value');

#----------------------------------------------------------------------
# A librdkafka that is newer than the table
#----------------------------------------------------------------------

# Some names of versions after 2.0.2, files and URLs among them.
foreach my $name (
	qw(client.dns.lookup enable.metrics.push fetch.queue.backoff.ms group.protocol
	group.remote.assignor metadata.recovery.strategy retry.backoff.max.ms https.ca.location
	https.ca.pem sasl.oauthbearer.grant.type sasl.oauthbearer.assertion.file
	sasl.oauthbearer.assertion.private.key.file sasl.oauthbearer.assertion.jwt.template.file
	sasl.oauthbearer.metadata.authentication.type))
{
	is($session->query(sprintf q{
				SELECT string_agg(DISTINCT attack.attempt(wrapper, 'super', object, option, 'x'), ' ')
				FROM unnest(%s) option, unnest(ARRAY['kafka_fdw', 'bare']) wrapper,
					unnest(ARRAY['server', 'mapping', 'table']) object},
			array($name, $name =~ s/\./_/gr)),
		'HV00D', "$name of a later librdkafka is refused");
	untouched([$name], $name);
}

#----------------------------------------------------------------------
# By way of the catalogues
#----------------------------------------------------------------------

# A wrapper without a validator takes anything; what is not to be there is refused when it is used.
my @properties = map { [ split /\t/ ] } split /\n/, slurp_file("$FindBin::Bin/data/librdkafka-properties.tsv");
my %fixed;

foreach my $class ('A', 'B', 'C', 'D')
{
	my @names = map { $_->[0] } grep { $_->[1] eq $class } @properties;
	my @objects = ('server', 'mapping', 'table');

	@objects = ('mapping') if $class eq 'A';		# some are a table's, too
	@objects = ('server', 'table') if $class eq 'B';
	@objects = ('mapping', 'table') if $class eq 'C';
	cmp_ok(scalar @names, '>', 5, "there are properties of class $class");
	spied();
	is($session->query(sprintf q{
				SELECT string_agg(DISTINCT got || ' ' || object || ' ' || option, ', ') FROM (
					SELECT option, object, attack.attempt('bare', 'owner', object, option, '1') AS got
					FROM unnest(%s) name, LATERAL (VALUES (name), (replace(name, '.', '_'))) o(option),
						unnest(%s) object) x
				WHERE got <> 'HV00D'},
			array(@names), array(@objects)),
		'', "planted where it does not belong, no property of class $class is used");
	untouched(\@names, "class $class, planted");
}
foreach my $name (sort keys %attacks)
{
	is($session->query(sprintf q{
				SELECT string_agg(DISTINCT attack.attempt('bare', role, object, option, '%s'), ' ')
				FROM unnest(%s) option, unnest(ARRAY['owner', 'reader', 'super']) role,
					unnest(ARRAY['server', 'mapping', 'table', 'column']) object},
			$attacks{$name}, array(spellings($name))),
		'HV00D', "$name, planted: refused when it is used");
	untouched([$name], "$name, planted");
}

# A superuser who writes to the catalogues himself.
$node->safe_psql('postgres', q{
	CREATE USER MAPPING FOR CURRENT_USER SERVER kafka OPTIONS (sasl_username 'x');
	CREATE FOREIGN TABLE planted (value text) SERVER kafka});
foreach my $plant (
	[ 'pg_foreign_server', 'srvoptions', "srvname = 'kafka'" ],
	[ 'pg_user_mapping', 'umoptions', 'true' ],
	[ 'pg_foreign_table', 'ftoptions', "ftrelid = 'planted'::regclass" ],
	[ 'pg_attribute', 'attfdwoptions', "attrelid = 'planted'::regclass AND attnum = 1" ])
{
	my ($catalogue, $column, $row) = @$plant;

	$session->query("CREATE TEMP TABLE before AS SELECT $column AS options FROM $catalogue WHERE $row");
	foreach my $name ('plugin.library.paths', 'ut_handle_ProduceResponse', 'tomorrow.property', 'bootstrap')
	{
		$session->query("UPDATE $catalogue SET $column = (SELECT array_append(options, '$name=$plugin')
			FROM before) WHERE $row");
		is($session->stderr, '', "$name is in $catalogue");
		foreach my $statement ('SELECT * FROM planted', "INSERT INTO planted VALUES ('x')",
			"SELECT kafka_send('t', 'x', server => 'kafka')")
		{
			# A function has no table.
			next if $statement =~ /kafka_send/ && $catalogue =~ /table|attribute/;

			my ($state) = $session->failure($statement);

			is($state, 'HV00D', "$name in $catalogue: $statement");
		}
	}
	untouched([ keys %attacks, 'bootstrap' ], "what was written to $catalogue");
	$session->query("UPDATE $catalogue SET $column = (SELECT options FROM before) WHERE $row;
		DROP TABLE before");
	is($session->stderr, '', "$catalogue is as before");
}

#----------------------------------------------------------------------
# What is fixed stays so
#----------------------------------------------------------------------

# librdkafka goes by what is set last.
spied();
$session->failure('SELECT * FROM planted');
my %consumer = map { split /=/, $_, 2 } spied();
$session->failure("SELECT kafka_send('t', 'x', server => 'kafka')");
my %producer = map { split /=/, $_, 2 } spied();

my %always = (
	'log.queue' => 'true',
	'statistics.interval.ms' => '0',
	'api.version.request' => 'true',
	'client.software.name' => 'kafka_fdw',
	'sasl.kerberos.min.time.before.relogin' => '0');
my %for_consumers = (%always,
	'enable.partition.eof' => 'true',
	'auto.offset.reset' => 'error',
	'check.crcs' => 'true',
	'enable.auto.commit' => 'false',
	'enable.auto.offset.store' => 'false',
	'allow.auto.create.topics' => 'false');
my %for_producers = (%always, 'request.required.acks' => 'all', 'enable.idempotence' => 'true',
	'allow.auto.create.topics' => 'false');

is_deeply({ map { $_ => $consumer{$_} } keys %for_consumers }, \%for_consumers, 'what a consumer is given');
is_deeply({ map { $_ => $producer{$_} } keys %for_producers }, \%for_producers, 'what a producer is given');
cmp_ok($producer{'max.in.flight.requests.per.connection'}, '<=', 5, 'requests in flight');

#----------------------------------------------------------------------
# Secrets and files, when an object is made
#----------------------------------------------------------------------

spied();
$session->query(qq{
	CREATE SERVER secrets FOREIGN DATA WRAPPER kafka_fdw OPTIONS (brokers '127.0.0.1:1',
		ssl_ca_location '/canary/ca', ssl_key_location '/canary/key', ssl_crl_location '/canary/crl');
	CREATE USER MAPPING FOR CURRENT_USER SERVER secrets OPTIONS (sasl_username 'canary-name',
		sasl_password 'canary-password', ssl_key_password 'canary-key', ssl_key_pem 'canary-pem',
		ssl_keystore_password 'canary-store')});
is($session->stderr, '', 'a server with files, a mapping with secrets');
is_deeply([ grep { /canary/ } spied() ], [], 'nothing of them leaves PostgreSQL before it is used');

# Who may not name files does not learn which there are.
my %says;

foreach my $file ('/etc/passwd', '/does/not/exist', '/root', $folder)
{
	foreach my $object ('server', 'mapping', 'table')
	{
		foreach my $option (qw(ssl_ca_location ssl_certificate_location ssl_key_location ssl_crl_location
			ssl_keystore_location))
		{
			$says{"$object $option"}{ $session->query(
				"SELECT attack.attempt('kafka_fdw', 'owner', '$object', '$option', '$file')") } = 1;
		}
	}
	$session->query('SET ROLE owner');
	my ($state, $text) = $session->failure(
		"CREATE SERVER f FOREIGN DATA WRAPPER kafka_fdw OPTIONS (brokers 'x', ssl_ca_location '$file')");

	$says{'in full'}{ "$state " . $text =~ s/^psql:<stdin>:\d+: //gmr } = 1;
	$session->query('RESET ROLE');
}
is_deeply([ map { "$_: " . join ' ', keys %{ $says{$_} } } grep { keys %{ $says{$_} } > 1 } keys %says ], [],
	'an existing file and a missing one get the same answer');
is(join(' ', map { keys %{ $says{$_} } } 'server ssl_key_location', 'table ssl_key_location',
		'mapping ssl_key_location'),
	'42501 HV00D HV00D', 'which is no');

#----------------------------------------------------------------------
# USAGE on a server
#----------------------------------------------------------------------

$node->safe_psql('postgres', q{
	GRANT USAGE ON FOREIGN SERVER kafka TO usager;
	GRANT CREATE ON SCHEMA public TO usager;
	CREATE SERVER private FOREIGN DATA WRAPPER kafka_fdw OPTIONS (brokers '127.0.0.1:2')});

my $usager = KafkaFdw::Test->session($node, user => 'usager');
my @choices = qw(bootstrap_servers brokers metadata_broker_list security_protocol ssl_ca_location
  ssl_ca_pem ssl_certificate_location ssl_key_location ssl_crl_location ssl_keystore_location
  sasl_oauthbearer_token_endpoint_url sasl_oauthbearer_config sasl_kerberos_service_name debug
  broker_address_family socket_timeout_ms);

foreach my $option (@choices)
{
	foreach my $case (
		[ "ALTER SERVER kafka OPTIONS (ADD $option '127.0.0.1:2')", '42501' ],
		[ "ALTER SERVER kafka OPTIONS (SET $option '127.0.0.1:2')", '42501' ],
		[ "CREATE SERVER mine FOREIGN DATA WRAPPER kafka_fdw OPTIONS ($option '127.0.0.1:2')", '42501' ],
		[ "CREATE USER MAPPING FOR CURRENT_USER SERVER kafka OPTIONS ($option '127.0.0.1:2')", 'HV00D' ],
		[ "CREATE FOREIGN TABLE mine (value text) SERVER kafka OPTIONS ($option '127.0.0.1:2')", 'HV00D' ])
	{
		my ($state) = $usager->failure($case->[0]);

		is($state, $case->[1], "USAGE: $case->[0]");
	}
}
foreach my $case (
	[ "CREATE USER MAPPING FOR PUBLIC SERVER kafka", '42501' ],
	[ "CREATE USER MAPPING FOR owner SERVER kafka", '42501' ],
	[ "CREATE FOREIGN TABLE mine (value text) SERVER private", '42501' ],
	[ "SELECT kafka_send('t', 'x', server => 'private')", '42501' ],
	[ "SELECT kafka_send('t', 'x', server => '127.0.0.1:2')", '42704' ],
	[ "SELECT kafka_send('127.0.0.1:2/t', 'x', server => 'kafka')", '42602' ],
	[ "SELECT * FROM kafka_read('../../etc/passwd', server => 'kafka')", '42602' ],
	[ "SELECT * FROM kafka_last('file:///etc/passwd', server => 'kafka')", '42602' ],
	[ "CREATE FOREIGN TABLE mine (value text) SERVER kafka OPTIONS (topic '127.0.0.1:2/t')", 'HV024' ],
	[ "SET kafka_fdw.default_server = 'private'; SELECT kafka_send('t', 'x')", '42501' ],
	[ "SET kafka_fdw.max_timeout = '1d'", '42501' ],
	[ "SET kafka_fdw.max_buffer_size = '2GB'", '42501' ],
	[ "SET kafka_fdw.mode = 'off'", '55P02' ],
	[ "UPDATE pg_foreign_server SET srvoptions = '{bootstrap_servers=127.0.0.1:2}'", '42501' ],
	[ "SELECT kafka_fdw_validator('{}', 'pg_foreign_server'::regclass)", 'HV002' ])
{
	my ($state) = $usager->failure($case->[0]);

	is($state, $case->[1], "USAGE: $case->[0]");
}
is($node->safe_psql('postgres', q{
		SELECT string_agg(p.oid::regprocedure || ' ' || a, ', ')
		FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
			JOIN pg_extension e ON e.extname = 'kafka_fdw' AND d.refobjid = e.oid AND d.deptype = 'e',
			unnest(p.proargnames[:p.pronargs]) a
		WHERE a ~ 'broker|bootstrap|host|port|url|uri|file|path|location|address'}),
	'', 'no function has an argument for an address or a file');
$usager->quit;

#----------------------------------------------------------------------
# Nothing is left
#----------------------------------------------------------------------

# The sockets of a process that listen.
sub listening
{
	my ($process) = @_;
	my %listens;

	foreach my $table ('/proc/net/tcp', '/proc/net/tcp6')
	{
		next if !-r $table;
		foreach my $line (split /\n/, slurp_file($table))
		{
			my @field = split ' ', $line;

			$listens{ $field[9] } = $field[1] if ($field[3] // '') eq '0A';
		}
	}
	return grep { defined } map { readlink($_) =~ /^socket:\[(\d+)\]/ ? $listens{$1} : undef }
	  glob "/proc/$process/fd/*";
}

is($session->query('SELECT pg_backend_pid()'), $pid, 'the backend lives');
is_deeply([ listening($pid) ], [], 'it listens to nobody');
is_deeply([ grep { defined && /kplugin/ } split /\n/, slurp_file("/proc/$pid/maps") ], [],
	'it has loaded nothing');
unlike(slurp_file($node->logfile), qr/terminated by signal|exited with exit code [^01]/,
	'no backend crashed');
$session->quit;

done_testing();
