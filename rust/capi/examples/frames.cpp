/* Prints the documents of a stream, one a line: frames < recording. With -e it makes a
 * stream of lines: frames -e < lines.
 *
 *     c++ -std=c++17 frames.cpp $(pkg-config --cflags --libs xmlsocket)
 */
#include <cstring>
#include <iostream>
#include <string>

#include <unistd.h>

#include <xmlsocket.hpp>

namespace {

void decode() {
    xmlsocket::decoder decoder;
    char buffer[65536];
    ssize_t got;
    while ((got = read(STDIN_FILENO, buffer, sizeof buffer)) > 0) {
        decoder.feed({buffer, static_cast<std::size_t>(got)});
        while (auto frame = decoder.next())
            std::cout << *frame << '\n';
    }
    decoder.finish();
}

void encode() {
    for (std::string line; std::getline(std::cin, line);) {
        xmlsocket::check_document(line);
        std::cout << xmlsocket::encode(line);
    }
}

} // namespace

int main(int argc, char **argv) {
    try {
        argc > 1 && std::strcmp(argv[1], "-e") == 0 ? encode() : decode();
    } catch (const xmlsocket::error &error) {
        std::cout.flush();
        std::cerr << "offset " << error.offset << ": " << error.what() << '\n';
        return 1;
    }
    return 0;
}
