import flash.Lib;
import flash.display.Sprite;
import flash.errors.Error;
import flash.events.DataEvent;
import flash.events.Event;
import flash.events.IOErrorEvent;
import flash.events.KeyboardEvent;
import flash.events.MouseEvent;
import flash.events.SecurityErrorEvent;
import flash.external.ExternalInterface;
import flash.net.XMLSocket;
import flash.text.TextField;
import flash.text.TextFieldType;
import flash.text.TextFormat;
import flash.ui.Keyboard;

/**
	A chat client as Flash knew it: an XMLSocket, and a document `MESSAGE` with the
	attributes `USER` and `TEXT` for what is said, as in the ActionScript dictionary.

	FlashVars: `host` and `port` say where to connect, `user` under which name,
	`hello` what to say when connected. What happens is traced: `connect BOOLEAN`,
	`data TEXT` (its length instead, if it starts with `<long`), `xml NAME`, `close`.

	A page that may script the movie can call `send(document)`, which sends anything,
	and `close()`. A document `<bye/>` makes the movie close by itself.

	`make movie` compiles it.
**/
class Chat extends Sprite {
	static inline var WIDTH = 480;
	static inline var HEIGHT = 300;
	static inline var MARGIN = 12;
	static inline var ROW = 28;
	static inline var LINES = 12;

	static inline var PANEL = 0x1b2533;
	static inline var PAPER = 0x243245;
	static inline var INK = 0xe8eef6;
	static inline var DIM = 0x9fb2c8;
	static inline var ACCENT = 0x2f6fd0;

	final socket = new XMLSocket();
	final user:String;
	final hello:Null<String>;
	final status:TextField;
	final log:TextField;
	final input:TextField;
	final lines:Array<String> = [];
	var others = 0;
	var changed = false;

	static function main() {
		Lib.current.addChild(new Chat(Lib.current.loaderInfo.parameters));
	}

	function new(parameters:Dynamic<String>) {
		super();
		user = parameters.user == null ? "Flash" : parameters.user;
		hello = parameters.hello;
		graphics.beginFill(PANEL);
		graphics.drawRect(0, 0, WIDTH, HEIGHT);
		status = text(MARGIN, 8, WIDTH - 2 * MARGIN, DIM);
		final top = 34, bottom = HEIGHT - MARGIN - ROW;
		log = text(MARGIN + 6, top + 4, WIDTH - 2 * MARGIN - 12, INK, bottom - top - 16);
		log.wordWrap = log.multiline = true;
		panel(MARGIN, top, WIDTH - 2 * MARGIN, bottom - top - 8, PAPER);
		panel(MARGIN, bottom, WIDTH - 2 * MARGIN - 76, ROW, PAPER);
		input = text(MARGIN + 6, bottom + 4, WIDTH - 2 * MARGIN - 88, INK);
		input.type = TextFieldType.INPUT;
		input.selectable = true;
		input.maxChars = 300;
		input.addEventListener(KeyboardEvent.KEY_DOWN, (event:KeyboardEvent) -> {
			if (event.keyCode == Keyboard.ENTER)
				say();
		});
		addChild(button(WIDTH - MARGIN - 68, bottom, 68, "Send"));
		addEventListener(Event.ENTER_FRAME, _ -> show());
		listen();
		expose();
		connect(parameters.host, Std.parseInt(parameters.port));
	}

	// The socket

	function listen() {
		socket.addEventListener(Event.CONNECT, _ -> {
			tell("connect true");
			status.text = "connected, as " + user;
			if (hello != null)
				message(hello);
		});
		socket.addEventListener(Event.CLOSE, _ -> closed("close"));
		socket.addEventListener(IOErrorEvent.IO_ERROR, _ -> closed("connect false"));
		socket.addEventListener(SecurityErrorEvent.SECURITY_ERROR, _ -> closed("connect false"));
		socket.addEventListener(DataEvent.DATA, (event:DataEvent) -> receive(event.data));
	}

	function connect(host:String, port:Int) {
		status.text = 'connecting to $host:$port …';
		try
			socket.connect(host, port)
		catch (error:Error)
			closed("connect false");
	}

	function closed(how:String) {
		tell(how);
		status.text = how == "close" ? "the server has closed the connection" : "no connection";
	}

	function receive(data:String) {
		tell(StringTools.startsWith(data, "<long") ? 'data ${data.length}' : 'data $data');
		final document = try Xml.parse(data).firstElement() catch (error:haxe.xml.Parser.XmlParserException) null;
		if (document != null)
			tell('xml ${document.nodeName}');
		if (data == "<bye/>")
			leave();
		else if (document != null && document.nodeName == "MESSAGE")
			write(document.get("USER"), document.get("TEXT"));
		else
			others++;
		changed = true;
	}

	function leave() {
		socket.close();
		tell("closed");
		status.text = "closed";
	}

	function message(what:String) {
		final document = Xml.createElement("MESSAGE");
		document.set("USER", user);
		document.set("TEXT", what);
		// Not the XML object: its toString() would put every element on a line of its own.
		socket.send(document.toString());
		write(user, what);
	}

	function say() {
		if (input.text == "" || !socket.connected)
			return;
		message(input.text);
		input.text = "";
	}

	// The picture

	function write(who:String, what:String) {
		lines.push('$who: $what');
		if (lines.length > LINES)
			lines.shift();
		changed = true;
	}

	// Once a frame and not for every document: thousands may come in one.
	function show() {
		if (!changed)
			return;
		changed = false;
		log.text = lines.join("\n") + (others > 0 ? '\n($others other documents)' : "");
		log.scrollV = log.maxScrollV;
	}

	function text(x:Int, y:Int, width:Int, colour:Int, height = 22):TextField {
		final field = new TextField();
		field.defaultTextFormat = new TextFormat("_sans", 14, colour);
		field.x = x;
		field.y = y;
		field.width = width;
		field.height = height;
		field.selectable = false;
		addChild(field);
		return field;
	}

	function panel(x:Int, y:Int, width:Int, height:Int, colour:Int) {
		graphics.beginFill(colour);
		graphics.drawRoundRect(x, y, width, height, 8);
	}

	function button(x:Int, y:Int, width:Int, label:String):Sprite {
		final result = new Sprite();
		result.graphics.beginFill(ACCENT);
		result.graphics.drawRoundRect(x, y, width, ROW, 8);
		final caption = text(x + 16, y + 4, width - 20, 0xffffff);
		caption.text = label;
		caption.mouseEnabled = false;
		result.addChild(caption);
		result.buttonMode = true;
		result.addEventListener(MouseEvent.CLICK, _ -> say());
		return result;
	}

	// For pages that test the movie

	static function tell(line:String) {
		// Haxe's own trace() would write it into the picture.
		untyped __global__["trace"](line);
	}

	function expose() {
		if (!ExternalInterface.available)
			return;
		ExternalInterface.addCallback("send", (document:String) -> socket.send(document));
		ExternalInterface.addCallback("close", leave);
	}
}
