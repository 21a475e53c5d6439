# Makefile
#		Builds kafka_fdw with PGXS.
#
#	make, make install	need PostgreSQL 15 or later with its server headers, and librdkafka
#	make installcheck	regression tests, against a running server and KAFKA_BOOTSTRAP
#	make prove_installcheck	TAP tests, which start servers and brokers of their own
#	make bench		measure it beside other clients of Kafka; BENCH_FLAGS=--short, see bench/README.md
#	make format, lint	the style of the sources; see docs/development.md
#
# WERROR=1 turns warnings into errors. PG_CONFIG chooses the PostgreSQL. ./dev/test does all of it
# at once, with a server and a broker that it throws away.

MODULE_big = kafka_fdw
EXTENSION = kafka_fdw
DATA = $(filter-out $(DATA_built),$(sort $(wildcard kafka_fdw--*.sql)))
DATA_built = kafka_fdw--0.0.3--1.0.sql
OBJS = kafka_fdw.o $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))

# init makes what the others use.
REGRESS = init $(filter-out init,$(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql))))
# The expected output has the order of the C collation, whatever the server's own.
ENCODING = UTF8
NO_LOCALE = 1

# What -Wextra finds in PostgreSQL's own headers and macros is not for us to mend.
PG_CFLAGS += -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
ifdef WERROR
PG_CFLAGS += -Werror
endif
# Where PostgreSQL was built by gcc, its flags are not all clang's.
ifneq ($(findstring clang,$(CC)),)
PG_CFLAGS += -Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-ignored-attributes
endif
# The compiler notes which headers an object was made from.
PG_CFLAGS += -MMD -MP
EXTRA_CLEAN = kafka_fdw.d $(wildcard src/*.d)

PKG_CONFIG ?= pkg-config
# As a system's header, since what -Wextra finds in it is not for us to mend either.
PG_CPPFLAGS += $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags rdkafka 2>/dev/null))
SHLIB_LINK += $(shell $(PKG_CONFIG) --libs rdkafka 2>/dev/null || echo -lrdkafka)

# The sources' style can be looked at where nothing can be built.
STYLE_GOALS = format format-check lint
ifneq ($(filter-out bench $(STYLE_GOALS),$(or $(MAKECMDGOALS),all)),)

PG_CONFIG ?= pg_config
PG_MAJOR := $(shell $(PG_CONFIG) --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p')
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifeq ($(PG_MAJOR),)
$(error $(PG_CONFIG) does not work: install postgresql-server-dev-NN for your PostgreSQL (Red Hat: postgresqlNN-devel), or set PG_CONFIG)
endif
ifneq ($(shell test $(PG_MAJOR) -ge 15 || echo old),)
$(error kafka_fdw needs PostgreSQL 15 or later, and $(PG_CONFIG) belongs to $(PG_MAJOR): set PG_CONFIG to that of another)
endif
ifeq ($(wildcard $(PGXS)),)
$(error the server headers of PostgreSQL $(PG_MAJOR) are missing: install postgresql-server-dev-$(PG_MAJOR) (Red Hat: postgresql$(PG_MAJOR)-devel))
endif
include $(PGXS)

# The update from adjust/kafka_fdw: what becomes of its objects, and then what it did not have.
kafka_fdw--0.0.3--1.0.sql: kafka_fdw--0.0.3--1.0.in kafka_fdw--1.0.sql
	cat $< >$@
	sed '1,/^-- 0\.0\.3 has the objects so far/d' $(lastword $^) >>$@

# Goals that compile nothing do without the library.
ifneq ($(filter-out clean distclean uninstall installcheck prove_installcheck,$(or $(MAKECMDGOALS),all)),)
ifneq ($(shell $(CC) $(CPPFLAGS) -E -x c -include librdkafka/rdkafka.h /dev/null >/dev/null 2>&1 || echo no),)
$(error the headers of librdkafka are missing: install librdkafka-dev (Red Hat: librdkafka-devel))
endif
endif

# The bitcode for JIT depends on the same headers as the object.
$(OBJS:.o=.bc): %.bc: %.o
-include $(OBJS:.o=.d)

endif							# not only STYLE_GOALS

.PHONY: bench prove_installcheck $(STYLE_GOALS)

# Not part of installcheck, as TAP_TESTS would make it: it takes longer, and needs IPC::Run.
prove_installcheck: PROVE_FLAGS += -I $(srcdir)/t/lib
prove_installcheck:
	$(prove_installcheck)

# It builds what it measures by itself, in a folder of its own.
bench:
	@bench/run $(BENCH_FLAGS)

format format-check lint:
	@dev/style $@
