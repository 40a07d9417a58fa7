import { describe, expect, it } from "vitest";
import { readEvents, type TailEvent } from "../../src/api/tail";

async function events(chunks: string[]): Promise<TailEvent[]> {
  const encoder = new TextEncoder();
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(encoder.encode(chunk));
      controller.close();
    },
  });
  const list: TailEvent[] = [];
  for await (const event of readEvents(stream)) list.push(event);
  return list;
}

describe("event stream", () => {
  const text = ': hi\n\nid: 7\nevent: span\ndata: {"a":\ndata: 1}\n\nid: 8\r\ndata:x\r\n\r\ndata: cut';
  const expected = [
    { id: "7", type: "span", data: '{"a":\n1}' },
    { id: "8", type: "message", data: "x" },
  ];

  it("is read the same however it is cut into pieces", async () => {
    expect(await events([text])).toEqual(expected);
    expect(await events([...text])).toEqual(expected);
    for (let at = 1; at < text.length; at++)
      expect(await events([text.slice(0, at), text.slice(at)])).toEqual(expected);
  });

  it("moves on by an id without news", async () => {
    const list = await events([": alive\nid: 41\n\n", "data: x\n\n"]);
    expect(list.map((event) => [event.id, event.data])).toEqual([
      ["41", ""],
      ["41", "x"],
    ]);
  });

  it("joins characters that were cut in two", async () => {
    const bytes = new TextEncoder().encode("data: ä\n\n");
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
        controller.close();
      },
    });
    for await (const event of readEvents(stream)) expect(event.data).toBe("ä");
  });
});
