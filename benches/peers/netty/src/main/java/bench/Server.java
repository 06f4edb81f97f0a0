package bench;

import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.ServerChannel;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.group.ChannelGroup;
import io.netty.channel.group.DefaultChannelGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.ChannelInputShutdownEvent;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.handler.codec.DelimiterBasedFrameDecoder;
import io.netty.handler.codec.Delimiters;
import io.netty.handler.codec.MessageToByteEncoder;
import io.netty.util.concurrent.GlobalEventExecutor;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.function.Supplier;

/**
 * Netty: {@code DelimiterBasedFrameDecoder} with {@code Delimiters.nulDelimiter()}, an encoder that
 * appends the zero byte, native epoll transport, pooled buffers, TCP_NODELAY. Writes are flushed in
 * {@code channelReadComplete}, as Netty's own echo example does. Event loops and heap as they come.
 */
public final class Server {
    private static final ChannelGroup EVERYBODY =
            new DefaultChannelGroup(GlobalEventExecutor.INSTANCE);

    private Server() {}

    /** Appends the delimiter. */
    private static final class Encoder extends MessageToByteEncoder<ByteBuf> {
        @Override
        protected ByteBuf allocateBuffer(ChannelHandlerContext ctx, ByteBuf msg, boolean direct) {
            return ctx.alloc().directBuffer(msg.readableBytes() + 1);
        }

        @Override
        protected void encode(ChannelHandlerContext ctx, ByteBuf msg, ByteBuf out) {
            out.writeBytes(msg, msg.readerIndex(), msg.readableBytes());
            out.writeByte(0);
        }
    }

    /** What the handlers of all modes share. */
    private abstract static class Handler extends ChannelInboundHandlerAdapter {
        @Override
        public void channelReadComplete(ChannelHandlerContext ctx) {
            ctx.flush();
        }

        @Override
        public void userEventTriggered(ChannelHandlerContext ctx, Object event) {
            if (event instanceof ChannelInputShutdownEvent) {
                inputEnded(ctx);
            }
        }

        void inputEnded(ChannelHandlerContext ctx) {
            ctx.writeAndFlush(Unpooled.EMPTY_BUFFER).addListener(ChannelFutureListener.CLOSE);
        }

        @Override
        public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
            // An IOException is the load generator's leaving.
            if (!(cause instanceof IOException)) {
                cause.printStackTrace();
            }
            ctx.close();
        }
    }

    private static final class Echo extends Handler {
        @Override
        public void channelRead(ChannelHandlerContext ctx, Object msg) {
            ctx.write(msg, ctx.voidPromise());
        }
    }

    private static final class Ingest extends Handler {
        private long frames;
        private long bytes;

        @Override
        public void channelRead(ChannelHandlerContext ctx, Object msg) {
            ByteBuf frame = (ByteBuf) msg;
            frames++;
            bytes += frame.readableBytes();
            frame.release();
        }

        @Override
        void inputEnded(ChannelHandlerContext ctx) {
            String totals = "<totals frames=\"" + frames + "\" bytes=\"" + bytes + "\"/>";
            ctx.writeAndFlush(Unpooled.copiedBuffer(totals, StandardCharsets.US_ASCII))
                    .addListener(ChannelFutureListener.CLOSE);
        }
    }

    private static final class Broadcast extends Handler {
        @Override
        public void channelActive(ChannelHandlerContext ctx) {
            EVERYBODY.add(ctx.channel());
        }

        @Override
        public void channelRead(ChannelHandlerContext ctx, Object msg) {
            EVERYBODY.write(msg); // takes over the reference, gives each channel its own
        }

        @Override
        public void channelReadComplete(ChannelHandlerContext ctx) {
            EVERYBODY.flush();
        }
    }

    private static final class Relay extends Handler {
        private static Relay waiting;
        private Channel own;
        private Channel partner;

        @Override
        public void channelActive(ChannelHandlerContext ctx) {
            own = ctx.channel();
            synchronized (Relay.class) {
                if (waiting == null) {
                    waiting = this;
                    own.config().setAutoRead(false);
                } else {
                    partner = waiting.own;
                    waiting.partner = own;
                    partner.config().setAutoRead(true);
                    waiting = null;
                }
            }
        }

        @Override
        public void channelRead(ChannelHandlerContext ctx, Object msg) {
            partner.write(msg, partner.voidPromise());
        }

        @Override
        public void channelReadComplete(ChannelHandlerContext ctx) {
            if (partner != null) {
                partner.flush();
            }
        }
    }

    private static final Map<String, Supplier<Handler>> MODES =
            Map.of("echo", Echo::new, "ingest", Ingest::new, "broadcast", Broadcast::new, "relay", Relay::new);

    /** Serves until the process is ended. */
    public static void main(String[] args) throws Exception {
        String mode = "echo";
        String host = "127.0.0.1";
        int port = 0;
        int maxSize = 1 << 20;
        for (int i = 0; i + 1 < args.length; i += 2) {
            switch (args[i]) {
                case "--mode" -> mode = args[i + 1];
                case "--host" -> host = args[i + 1];
                case "--port" -> port = Integer.parseInt(args[i + 1]);
                case "--max-size" -> maxSize = Integer.parseInt(args[i + 1]);
                default -> throw new IllegalArgumentException(args[i]);
            }
        }
        Supplier<Handler> handler = MODES.get(mode);
        if (handler == null) {
            throw new IllegalArgumentException("unknown mode " + mode);
        }
        int limit = maxSize;
        boolean epoll = Epoll.isAvailable();
        if (!epoll) {
            System.err.println("no native epoll transport: " + Epoll.unavailabilityCause());
        }
        IoHandlerFactory factory = epoll ? EpollIoHandler.newFactory() : NioIoHandler.newFactory();
        Class<? extends ServerChannel> channel =
                epoll ? EpollServerSocketChannel.class : NioServerSocketChannel.class;
        EventLoopGroup boss = new MultiThreadIoEventLoopGroup(1, factory);
        EventLoopGroup workers = new MultiThreadIoEventLoopGroup(factory);
        Channel listener =
                new ServerBootstrap()
                        .group(boss, workers)
                        .channel(channel)
                        .option(ChannelOption.SO_BACKLOG, 1024)
                        .childOption(ChannelOption.TCP_NODELAY, true)
                        .childOption(ChannelOption.ALLOW_HALF_CLOSURE, true)
                        .childHandler(
                                new ChannelInitializer<SocketChannel>() {
                                    @Override
                                    protected void initChannel(SocketChannel ch) {
                                        ch.pipeline()
                                                .addLast(
                                                        new DelimiterBasedFrameDecoder(
                                                                limit, Delimiters.nulDelimiter()),
                                                        new Encoder(),
                                                        handler.get());
                                    }
                                })
                        .bind(host, port)
                        .sync()
                        .channel();
        InetSocketAddress address = (InetSocketAddress) listener.localAddress();
        System.out.println(
                "listening on " + address.getAddress().getHostAddress() + ":" + address.getPort());
        System.out.flush();
        listener.closeFuture().sync();
    }
}
