// Reads {tokenizer, texts, rows} on standard input; writes what assets/live/tokenizer.js makes of them.
import { Tokenizer } from "../../assets/live/tokenizer.js";

let input = "";
for await (const chunk of process.stdin) input += chunk;
const { tokenizer, texts, rows } = JSON.parse(input);
const made = new Tokenizer(tokenizer);
const answer = { ids: texts.map((text) => made.encode(text)), texts: rows.map((row) => made.decode(row)) };
process.stdout.write(JSON.stringify(answer));
