;; SPDX-License-Identifier: Apache-2.0
;; The arithmetic of a transformer, four numbers at a time: `make kernel` assembles it to kernel.wasm.
;; Two functions are enough: a matrix times vectors, and a weighted sum of rows. All matrices and
;; vectors lie in the memory that the page brings; addresses are bytes; rows are multiples of eight
;; numbers. js/engine.js does the same without WebAssembly, and the tests hold both to NumPy.
(module
  (import "page" "memory" (memory 1))

  ;; One row of n bytes, as n floats.
  (func $from_int8 (param $from i32) (param $to i32) (param $n i32)
    (local $eight v128)
    (loop $more
      (local.set $eight (v128.load8x8_s (local.get $from)))
      (v128.store (local.get $to)
        (f32x4.convert_i32x4_s (i32x4.extend_low_i16x8_s (local.get $eight))))
      (v128.store offset=16 (local.get $to)
        (f32x4.convert_i32x4_s (i32x4.extend_high_i16x8_s (local.get $eight))))
      (local.set $from (i32.add (local.get $from) (i32.const 8)))
      (local.set $to (i32.add (local.get $to) (i32.const 32)))
      (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 8))))))

  ;; One row of n bfloat16, as n floats: they are the upper halves of floats.
  (func $from_bfloat16 (param $from i32) (param $to i32) (param $n i32)
    (local $eight v128)
    (loop $more
      (local.set $eight (v128.load (local.get $from)))
      (v128.store (local.get $to)
        (i32x4.shl (i32x4.extend_low_i16x8_u (local.get $eight)) (i32.const 16)))
      (v128.store offset=16 (local.get $to)
        (i32x4.shl (i32x4.extend_high_i16x8_u (local.get $eight)) (i32.const 16)))
      (local.set $from (i32.add (local.get $from) (i32.const 16)))
      (local.set $to (i32.add (local.get $to) (i32.const 32)))
      (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 8))))))

  ;; The sum of four lanes.
  (func $sum (param $v v128) (result f32)
    (f32.add
      (f32.add (f32x4.extract_lane 0 (local.get $v)) (f32x4.extract_lane 1 (local.get $v)))
      (f32.add (f32x4.extract_lane 2 (local.get $v)) (f32x4.extract_lane 3 (local.get $v)))))

  ;; The dot product of two rows of n floats.
  (func $dot (param $a i32) (param $b i32) (param $n i32) (result f32)
    (local $even v128) (local $odd v128)
    (loop $more
      (local.set $even (f32x4.add (local.get $even)
        (f32x4.mul (v128.load (local.get $a)) (v128.load (local.get $b)))))
      (local.set $odd (f32x4.add (local.get $odd)
        (f32x4.mul (v128.load offset=16 (local.get $a)) (v128.load offset=16 (local.get $b)))))
      (local.set $a (i32.add (local.get $a) (i32.const 32)))
      (local.set $b (i32.add (local.get $b) (i32.const 32)))
      (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 8)))))
    (call $sum (f32x4.add (local.get $even) (local.get $odd))))

  ;; The dot products of four vectors x0 to x3 with two rows a and b, all of n floats: each number is
  ;; loaded once for several products.
  (func $products (param $x0 i32) (param $apart i32) (param $a i32) (param $b i32) (param $n i32)
    (result f32 f32 f32 f32 f32 f32 f32 f32)
    (local $x1 i32) (local $x2 i32) (local $x3 i32) (local $here v128) (local $wa v128) (local $wb v128)
    (local $a0 v128) (local $a1 v128) (local $a2 v128) (local $a3 v128)
    (local $b0 v128) (local $b1 v128) (local $b2 v128) (local $b3 v128)
    (local.set $x1 (i32.add (local.get $x0) (local.get $apart)))
    (local.set $x2 (i32.add (local.get $x1) (local.get $apart)))
    (local.set $x3 (i32.add (local.get $x2) (local.get $apart)))
    (loop $more
      (local.set $wa (v128.load (local.get $a)))
      (local.set $wb (v128.load (local.get $b)))
      (local.set $here (v128.load (local.get $x0)))
      (local.set $a0 (f32x4.add (local.get $a0) (f32x4.mul (local.get $here) (local.get $wa))))
      (local.set $b0 (f32x4.add (local.get $b0) (f32x4.mul (local.get $here) (local.get $wb))))
      (local.set $here (v128.load (local.get $x1)))
      (local.set $a1 (f32x4.add (local.get $a1) (f32x4.mul (local.get $here) (local.get $wa))))
      (local.set $b1 (f32x4.add (local.get $b1) (f32x4.mul (local.get $here) (local.get $wb))))
      (local.set $here (v128.load (local.get $x2)))
      (local.set $a2 (f32x4.add (local.get $a2) (f32x4.mul (local.get $here) (local.get $wa))))
      (local.set $b2 (f32x4.add (local.get $b2) (f32x4.mul (local.get $here) (local.get $wb))))
      (local.set $here (v128.load (local.get $x3)))
      (local.set $a3 (f32x4.add (local.get $a3) (f32x4.mul (local.get $here) (local.get $wa))))
      (local.set $b3 (f32x4.add (local.get $b3) (f32x4.mul (local.get $here) (local.get $wb))))
      (local.set $wa (v128.load offset=16 (local.get $a)))
      (local.set $wb (v128.load offset=16 (local.get $b)))
      (local.set $here (v128.load offset=16 (local.get $x0)))
      (local.set $a0 (f32x4.add (local.get $a0) (f32x4.mul (local.get $here) (local.get $wa))))
      (local.set $b0 (f32x4.add (local.get $b0) (f32x4.mul (local.get $here) (local.get $wb))))
      (local.set $here (v128.load offset=16 (local.get $x1)))
      (local.set $a1 (f32x4.add (local.get $a1) (f32x4.mul (local.get $here) (local.get $wa))))
      (local.set $b1 (f32x4.add (local.get $b1) (f32x4.mul (local.get $here) (local.get $wb))))
      (local.set $here (v128.load offset=16 (local.get $x2)))
      (local.set $a2 (f32x4.add (local.get $a2) (f32x4.mul (local.get $here) (local.get $wa))))
      (local.set $b2 (f32x4.add (local.get $b2) (f32x4.mul (local.get $here) (local.get $wb))))
      (local.set $here (v128.load offset=16 (local.get $x3)))
      (local.set $a3 (f32x4.add (local.get $a3) (f32x4.mul (local.get $here) (local.get $wa))))
      (local.set $b3 (f32x4.add (local.get $b3) (f32x4.mul (local.get $here) (local.get $wb))))
      (local.set $a (i32.add (local.get $a) (i32.const 32)))
      (local.set $b (i32.add (local.get $b) (i32.const 32)))
      (local.set $x0 (i32.add (local.get $x0) (i32.const 32)))
      (local.set $x1 (i32.add (local.get $x1) (i32.const 32)))
      (local.set $x2 (i32.add (local.get $x2) (i32.const 32)))
      (local.set $x3 (i32.add (local.get $x3) (i32.const 32)))
      (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 8)))))
    (call $sum (local.get $a0)) (call $sum (local.get $a1))
    (call $sum (local.get $a2)) (call $sum (local.get $a3))
    (call $sum (local.get $b0)) (call $sum (local.get $b1))
    (call $sum (local.get $b2)) (call $sum (local.get $b3)))

  ;; One row of weights as floats, and where it lies then: at `row`, or where it was if it is floats.
  (func $row_of (param $w i32) (param $size i32) (param $n i32) (param $row i32) (result i32)
    (if (i32.eq (local.get $size) (i32.const 4)) (then (return (local.get $w))))
    (if (i32.eq (local.get $size) (i32.const 2))
      (then (call $from_bfloat16 (local.get $w) (local.get $row) (local.get $n)))
      (else (call $from_int8 (local.get $w) (local.get $row) (local.get $n))))
    (local.get $row))

  ;; What row r is multiplied by.
  (func $scale_of (param $scale i32) (param $size i32) (param $r i32) (result f32)
    (if (result f32) (i32.eq (local.get $size) (i32.const 1))
      (then (f32.load (i32.add (local.get $scale) (i32.shl (local.get $r) (i32.const 2)))))
      (else (f32.const 1))))

  ;; y[t, r] = scale[r] · Σ_n x[t, n] · w[r, n], for T vectors x, `apart` bytes from one to the next,
  ;; and R rows of w. A weight takes `size` bytes: 1 (int8, with a scale for each row), 2 (bfloat16)
  ;; or 4 (float32). `room` is room for two rows of floats.
  (func (export "multiply") (param $x i32) (param $apart i32) (param $w i32) (param $size i32)
    (param $scale i32) (param $y i32) (param $T i32) (param $R i32) (param $n i32) (param $room i32)
    (local $r i32) (local $t i32) (local $from i32) (local $to i32) (local $next i32) (local $bytes i32)
    (local $a i32) (local $b i32) (local $by_a f32) (local $by_b f32)
    (local $a0 f32) (local $a1 f32) (local $a2 f32) (local $a3 f32)
    (local $b0 f32) (local $b1 f32) (local $b2 f32) (local $b3 f32)
    (local.set $next (i32.shl (local.get $R) (i32.const 2)))  ;; from one y[t] to the next
    (local.set $bytes (i32.mul (local.get $n) (local.get $size)))  ;; from one w[r] to the next
    (loop $rows
      ;; Two rows at a time; the last of an odd number is alone.
      (local.set $a (call $row_of (local.get $w) (local.get $size) (local.get $n) (local.get $room)))
      (local.set $by_a (call $scale_of (local.get $scale) (local.get $size) (local.get $r)))
      (local.set $b (local.get $a))
      (if (i32.lt_u (i32.add (local.get $r) (i32.const 1)) (local.get $R)) (then
        (local.set $b (call $row_of (i32.add (local.get $w) (local.get $bytes)) (local.get $size)
          (local.get $n) (i32.add (local.get $room) (i32.shl (local.get $n) (i32.const 2)))))
        (local.set $by_b (call $scale_of (local.get $scale) (local.get $size)
          (i32.add (local.get $r) (i32.const 1))))))
      (local.set $t (local.get $T))
      (local.set $from (local.get $x))
      (local.set $to (i32.add (local.get $y) (i32.shl (local.get $r) (i32.const 2))))
      (block $no_four
        (br_if $no_four (i32.eq (local.get $a) (local.get $b)))
        (loop $fours
          (br_if $no_four (i32.lt_u (local.get $t) (i32.const 4)))
          (call $products (local.get $from) (local.get $apart) (local.get $a) (local.get $b) (local.get $n))
          (local.set $b3) (local.set $b2) (local.set $b1) (local.set $b0)
          (local.set $a3) (local.set $a2) (local.set $a1) (local.set $a0)
          (f32.store (local.get $to) (f32.mul (local.get $a0) (local.get $by_a)))
          (f32.store offset=4 (local.get $to) (f32.mul (local.get $b0) (local.get $by_b)))
          (local.set $to (i32.add (local.get $to) (local.get $next)))
          (f32.store (local.get $to) (f32.mul (local.get $a1) (local.get $by_a)))
          (f32.store offset=4 (local.get $to) (f32.mul (local.get $b1) (local.get $by_b)))
          (local.set $to (i32.add (local.get $to) (local.get $next)))
          (f32.store (local.get $to) (f32.mul (local.get $a2) (local.get $by_a)))
          (f32.store offset=4 (local.get $to) (f32.mul (local.get $b2) (local.get $by_b)))
          (local.set $to (i32.add (local.get $to) (local.get $next)))
          (f32.store (local.get $to) (f32.mul (local.get $a3) (local.get $by_a)))
          (f32.store offset=4 (local.get $to) (f32.mul (local.get $b3) (local.get $by_b)))
          (local.set $to (i32.add (local.get $to) (local.get $next)))
          (local.set $from (i32.add (local.get $from) (i32.shl (local.get $apart) (i32.const 2))))
          (local.set $t (i32.sub (local.get $t) (i32.const 4)))
          (br $fours)))
      (block $no_one
        (loop $ones
          (br_if $no_one (i32.eqz (local.get $t)))
          (f32.store (local.get $to) (f32.mul (local.get $by_a)
            (call $dot (local.get $from) (local.get $a) (local.get $n))))
          (if (i32.ne (local.get $a) (local.get $b)) (then
            (f32.store offset=4 (local.get $to) (f32.mul (local.get $by_b)
              (call $dot (local.get $from) (local.get $b) (local.get $n))))))
          (local.set $to (i32.add (local.get $to) (local.get $next)))
          (local.set $from (i32.add (local.get $from) (local.get $apart)))
          (local.set $t (i32.sub (local.get $t) (i32.const 1)))
          (br $ones)))
      (local.set $w (i32.add (local.get $w) (i32.shl (local.get $bytes) (i32.const 1))))
      (br_if $rows
        (i32.lt_u (local.tee $r (i32.add (local.get $r) (i32.const 2))) (local.get $R)))))

  ;; y[n] = Σ_s p[s] · v[s, n], for S rows of v, `apart` bytes from one to the next.
  (func (export "blend") (param $p i32) (param $v i32) (param $apart i32) (param $y i32)
    (param $S i32) (param $n i32)
    (local $s i32) (local $weight i32) (local $from i32) (local $share v128)
    (local $low v128) (local $high v128)
    (loop $columns  ;; eight at a time
      (local.set $low (v128.const f32x4 0 0 0 0))
      (local.set $high (v128.const f32x4 0 0 0 0))
      (local.set $s (local.get $S))
      (local.set $weight (local.get $p))
      (local.set $from (local.get $v))
      (loop $rows
        (local.set $share (v128.load32_splat (local.get $weight)))
        (local.set $low (f32x4.add (local.get $low)
          (f32x4.mul (local.get $share) (v128.load (local.get $from)))))
        (local.set $high (f32x4.add (local.get $high)
          (f32x4.mul (local.get $share) (v128.load offset=16 (local.get $from)))))
        (local.set $weight (i32.add (local.get $weight) (i32.const 4)))
        (local.set $from (i32.add (local.get $from) (local.get $apart)))
        (br_if $rows (local.tee $s (i32.sub (local.get $s) (i32.const 1)))))
      (v128.store (local.get $y) (local.get $low))
      (v128.store offset=16 (local.get $y) (local.get $high))
      (local.set $y (i32.add (local.get $y) (i32.const 32)))
      (local.set $v (i32.add (local.get $v) (i32.const 32)))
      (br_if $columns (local.tee $n (i32.sub (local.get $n) (i32.const 8)))))))
