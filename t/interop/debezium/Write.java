/*
 * t/interop/debezium/Write.java
 *		Writes change events as a connector does: by Debezium's own classes for values, schemas and the
 *		envelope, and Connect's JSON converter, with schemas and without.
 *
 * java -cp 'lib/*' Write.java BOOTSTRAP TOPIC true|false
 *
 * The last argument is schemas.enable. A row is created, updated and deleted, another one stays.
 */
import io.debezium.data.Envelope;
import io.debezium.data.Json;
import io.debezium.data.VariableScaleDecimal;
import io.debezium.time.MicroDuration;
import io.debezium.time.MicroTime;
import io.debezium.time.MicroTimestamp;
import io.debezium.time.Timestamp;
import io.debezium.time.ZonedTimestamp;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.json.JsonConverter;

public class Write
{
	static final Schema key = SchemaBuilder.struct().name("server.public.items.Key")
		.field("id", Schema.INT32_SCHEMA)
		.build();

	/* precise: without schemas a connector has to be told decimal.handling.mode=string */
	static Schema row(boolean precise)
	{
		return SchemaBuilder.struct().name("server.public.items.Value").optional()
			.field("id", Schema.INT32_SCHEMA)
			.field("day", io.debezium.time.Date.builder().optional().build())
			.field("at", MicroTimestamp.builder().optional().build())
			.field("at3", Timestamp.builder().optional().build())
			.field("zoned", ZonedTimestamp.builder().optional().build())
			.field("time", MicroTime.builder().optional().build())
			.field("span", MicroDuration.builder().optional().build())
			.field("price", precise ? Decimal.builder(2).optional().build() : Schema.OPTIONAL_STRING_SCHEMA)
			.field("any", VariableScaleDecimal.builder().optional().build())
			.field("doc", Json.builder().optional().build())
			.field("data", Schema.OPTIONAL_BYTES_SCHEMA)
			.field("days", SchemaBuilder.array(io.debezium.time.Date.builder().optional().build()).optional().build())
			.build();
	}

	static final Schema source = SchemaBuilder.struct().name("io.debezium.connector.postgresql.Source")
		.field("version", Schema.STRING_SCHEMA)
		.field("connector", Schema.STRING_SCHEMA)
		.field("sequence", Schema.OPTIONAL_STRING_SCHEMA)
		.field("lsn", Schema.OPTIONAL_INT64_SCHEMA)
		.build();

	static Struct make(Schema schema, boolean precise, int id, String price)
	{
		return new Struct(schema).put("id", id)
			.put("day", 19782)
			.put("at", 1709208000123456L)
			.put("at3", 1709208000123L)
			.put("zoned", "2024-02-29T12:00:00.5Z")
			.put("time", 43200000001L)
			.put("span", -3660000000L)
			.put("price", precise ? (Object) new BigDecimal(price) : price)
			.put("any", VariableScaleDecimal.fromLogical(schema.field("any").schema(), new BigDecimal("-12345678901234567890.123")))
			.put("doc", "{\"a\": [1, \"\u00fc\"]}")
			.put("data", ByteBuffer.wrap(new byte[] {0, (byte) 255}))
			.put("days", List.of(0, 19782));
	}

	public static void main(String[] args) throws Exception
	{
		boolean schemas = Boolean.parseBoolean(args[2]);
		Schema schema = row(schemas);
		Envelope envelope = Envelope.defineSchema().withName("server.public.items.Envelope").withRecord(schema).withSource(source).build();
		Struct from = new Struct(source).put("version", "2.7.4.Final").put("connector", "postgresql").put("sequence", "[\"1\",\"2\"]").put("lsn", 42L);
		Struct first = make(schema, schemas, 1, "-1.50");
		Struct second = make(schema, schemas, 2, "12345678901234567890.25");
		Struct changed = make(schema, schemas, 2, "0.01");
		Instant now = Instant.ofEpochMilli(1709208000000L);
		Object[][] events = {
			{1, envelope.create(first, from, now)},
			{2, envelope.create(second, from, now)},
			{2, envelope.update(second, changed, from, now)},
			{1, envelope.delete(first, from, now)},
			{1, null}};
		JsonConverter keys = new JsonConverter();
		JsonConverter values = new JsonConverter();

		keys.configure(Map.of("schemas.enable", schemas), true);
		values.configure(Map.of("schemas.enable", schemas), false);
		try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(Map.of("bootstrap.servers", args[0]),
				new ByteArraySerializer(), new ByteArraySerializer()))
		{
			for (Object[] event : events)
			{
				byte[] value = event[1] == null ? null : values.fromConnectData(args[1], envelope.schema(), event[1]);

				producer.send(new ProducerRecord<>(args[1],
					keys.fromConnectData(args[1], key, new Struct(key).put("id", event[0])), value)).get();
			}
		}
	}
}
