# A thin front over ./run and CMake, for fingers that type make. CMakeLists.txt is the one truth.
PREFIX ?= /usr/local

all:
	@./run build

demo:
	@./run demo

test:
	@./run test

install: all
	cmake --install build --prefix "$(PREFIX)"

# Removes what `make install` put there, nothing else.
uninstall:
	cmake --build build --target uninstall

# The base model of the demo, from nothing: generated text, generated tokenizer, pretraining. Minutes.
tiny-base: all
	examples/tiny/make-base build

# hora against PyTorch, transformers, PEFT and llama.cpp, in a virtual environment of its own: the table of docs/interop.md.
world: all
	tools/world/make $(WORLD)

clean:
	rm -rf build

.PHONY: all demo test install uninstall tiny-base world clean
