# t/001_property_table.pl
#		The allowlist in src/property.c is the one that was decided on: data/librdkafka-properties.tsv
#		has every property with its class, in the same order.
use strict;
use warnings;

use FindBin;
use Test::More;

# The lines of a file, or an end to the test.
sub lines
{
	my ($path) = @_;

	open(my $file, '<', $path) or BAIL_OUT("could not open $path: $!");
	my @lines = <$file>;
	close($file);
	chomp(@lines);
	return @lines;
}

my @wanted = map { [ split(/\t/) ] } lines("$FindBin::Bin/data/librdkafka-properties.tsv");

# A row of the table in C: {"name", NULL or "another name", class, kind ...
my $source = join("\n", lines("$FindBin::Bin/../src/property.c"));
$source =~ /KafkaPropertyInfo properties\[\] = \{\n(.*?)\n\};/s
  or BAIL_OUT("src/property.c has no table");
my $table = $1;
my @rows;
while ($table =~ /\{"([^"]+)",\s*(?:NULL|"([^"]+)"),\s*(\w+),\s*(\w+)([^}]*)\}/g)
{
	push @rows, { name => $1, alias => $2, class => $3, kind => $4, rest => $5 };
}
my %row = map { $_->{name} => $_ } @rows;

is(scalar(@rows), 174, "every property of librdkafka 2.0.2");
is(scalar(() = $table =~ /\{/g), scalar(@rows), "every row was understood");
is_deeply([ map { $_->{name} } @rows ],
	[ map { $_->[0] } @wanted ],
	"the same names in the same order");
is_deeply(
	[ map { "$_->{name} " . ($_->{class} =~ s/^C_(FILE|SUPER)$/C/r) } @rows ],
	[ map { "$_->[0] $_->[1]" } @wanted ],
	"the same classes");

# What class C is divided by.
is_deeply(
	[ map { $_->{name} } grep { $_->{class} eq 'C_FILE' } @rows ],
	[ map { $_->[0] } grep { $_->[1] eq 'C' && $_->[0] =~ /\.location$/ } @wanted ],
	"what names a file needs pg_read_server_files, the rest of class C a superuser");

# The regression test that tries each of them on every kind of object, by every kind of role, has
# them all too; a table's are marked there.
my $tried = join("\n", lines("$FindBin::Bin/../sql/option_class.sql"));
my %tried;
while ($tried =~ /^    \('([^']+)', '(\w)(?: (\w+))?', (true|false), '/mg)
{
	$tried{$1} = { class => $3 ? $2 . '_' . uc $3 : $2, topic => $4 };
}
is_deeply(
	{ map { $_ => $tried{$_}{class} } keys %tried },
	{ map { $_->{name} => $_->{class} } @rows },
	"sql/option_class.sql has the same names and classes");
is_deeply(
	[ sort grep { $tried{$_}{topic} eq 'true' } keys %tried ],
	[
		sort map { $_->{name} }
		  grep { $_->{rest} =~ /, true/ && $_->{rest} !~ /, false, true/ && $_->{class} eq 'A' } @rows
	],
	"and knows which are a table's as well");

# Two names of one property are equally open or closed.
foreach my $alias (grep { defined $_->{alias} } @rows)
{
	my $canonical = $row{ $alias->{alias} };

	ok(defined $canonical && !defined $canonical->{alias},
		"$alias->{name} is another name of a property");
	is_deeply(
		[ @{$alias}{qw(class kind rest)} ],
		[ @{$canonical}{qw(class kind rest)} ],
		"$alias->{name} is as $canonical->{name}");
}

# What kafka_fdw relies on, or what would run code, open files or ports, is nobody's to set.
is_deeply(
	[
		grep { $row{$_}->{class} ne 'D' }
		  qw(acks request.required.acks enable.idempotence max.in.flight
		  max.in.flight.requests.per.connection enable.auto.commit auto.commit.enable
		  enable.auto.offset.store auto.offset.reset check.crcs enable.partition.eof log.queue
		  statistics.interval.ms sasl.kerberos.min.time.before.relogin api.version.request
		  client.software.name plugin.library.paths ssl.providers ssl.engine.location
		  sasl.kerberos.kinit.cmd internal.termination.signal test.mock.num.brokers
		  ut_handle_ProduceResponse)
	],
	[],
	"what is fixed or dangerous is closed");

done_testing();
