# Rows and kernel variants: the .def files and file names drive the build.

# Every row NAME(...) of a .def file must have its source DIR/PREFIXname.c.
function(hora_check_rows def prefix)
  if(NOT EXISTS ${CMAKE_SOURCE_DIR}/${def})
    return()
  endif()
  get_filename_component(dir ${CMAKE_SOURCE_DIR}/${def} DIRECTORY)
  file(STRINGS ${CMAKE_SOURCE_DIR}/${def} rows REGEX "^[A-Z]+\\([a-z0-9_]+")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${def})
  foreach(row ${rows})
    string(REGEX REPLACE "^[A-Z]+\\(([a-z0-9_]+).*" "\\1" name "${row}")
    if(NOT EXISTS ${dir}/${prefix}${name}.c)
      message(FATAL_ERROR "${def}: row ${name} has no ${dir}/${prefix}${name}.c")
    endif()
  endforeach()
endfunction()

# src/backend/cpu/kern_*.c are compiled once per instruction set, with HORA_VARIANT as name suffix; cpu_pick.c
# chooses at run time. A compiler that lacks a flag lacks the variant.
include(CheckCSourceCompiles)
macro(hora_add_kernel_variants target)
  set(HORA_VARIANT_OBJECTS)
  file(GLOB KERN_SOURCES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/backend/cpu/kern_*.c)
  set(flags_portable "-O3")
  set(flags_avx2 "-O3 -mavx2 -mfma -mf16c")
  set(flags_avx512 "-O3 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -mprefer-vector-width=512")
  set(flags_avx512_bf16 "${flags_avx512} -mavx512bf16")
  # Under sanitizers kernels need not be fast, and with every check in line clang takes minutes for their unrolled
  # blocks: there checks are calls, and those of sums of pointers and signs are left to GCC.
  if(HORA_SANITIZE)
    if(CMAKE_C_COMPILER_ID MATCHES Clang)
      set(checked -fno-sanitize=pointer-overflow,signed-integer-overflow,null
                  "SHELL:-mllvm -asan-instrumentation-with-call-threshold=0")
    endif()
    foreach(v portable avx2 avx512 avx512_bf16)
      string(REPLACE "-O3" "-O1" flags_${v} "${flags_${v}}")
    endforeach()
  endif()
  check_c_source_compiles("
    #include <immintrin.h>
    __attribute__((target(\"amx-tile,amx-bf16\"))) void f(void) { _tile_zero(0); _tile_dpbf16ps(0, 1, 2); }
    int main(void) { return 0; }" HORA_CC_AMX)
  if(KERN_SOURCES)
    foreach(v ${HORA_VARIANTS})
      set(ok TRUE)
      if(NOT v STREQUAL portable)
        set(CMAKE_REQUIRED_FLAGS "${flags_${v}}")
        check_c_source_compiles("int main(void){return 0;}" HORA_CC_${v})
        unset(CMAKE_REQUIRED_FLAGS)
        if(NOT HORA_CC_${v} OR NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
          set(ok FALSE)
        endif()
      endif()
      if(ok)
        string(REPLACE " " ";" list "${flags_${v}}")
        add_library(kern_${v} OBJECT ${KERN_SOURCES})
        target_compile_options(kern_${v} PRIVATE ${list} ${checked})
        target_compile_definitions(kern_${v} PRIVATE HORA_VARIANT=${v} HORA_VARIANT_${v}=1)
        target_include_directories(kern_${v} PRIVATE src include)
        if(v STREQUAL avx512_bf16 AND HORA_CC_AMX)
          target_compile_definitions(kern_${v} PRIVATE HORA_CC_AMX=1)
          target_compile_definitions(${target} PRIVATE HORA_HAVE_amx=1)
        endif()
        list(APPEND HORA_VARIANT_OBJECTS $<TARGET_OBJECTS:kern_${v}>)
        target_compile_definitions(${target} PRIVATE HORA_HAVE_${v}=1)
      endif()
    endforeach()
  endif()
endmacro()

# BUILD/hora_build.h: version and commit, refreshed at every build.
function(hora_version_header)
  add_custom_target(hora_build_header
    COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DVERSION=${PROJECT_VERSION}
            -DOUT=${CMAKE_BINARY_DIR}/hora_build.h -P ${CMAKE_SOURCE_DIR}/cmake/version.cmake
    BYPRODUCTS ${CMAKE_BINARY_DIR}/hora_build.h)
  add_dependencies(hora_objects hora_build_header)
  target_include_directories(hora_objects PRIVATE ${CMAKE_BINARY_DIR})
endfunction()
