// Pieces of composed FPGA forms, as synthesised for fpga_composed_points.csv.

module mux4x8(input [31:0] d, input [1:0] s, output reg [7:0] q); always @* case(s) 0:q=d[7:0];1:q=d[15:8];2:q=d[23:16];3:q=d[31:24]; endcase endmodule

module mux8x8(input [63:0] d, input [2:0] s, output reg [7:0] q); always @* case(s) 0:q=d[7:0];1:q=d[15:8];2:q=d[23:16];3:q=d[31:24];4:q=d[39:32];5:q=d[47:40];6:q=d[55:48];7:q=d[63:56]; endcase endmodule

module mux16x8(input clk, input [127:0] d, input [3:0] s, output reg [7:0] q); always @(posedge clk) q <= d[8*s+:8]; endmodule

module mux32x16(input clk, input [511:0] d, input [4:0] s, output reg [15:0] q); always @(posedge clk) q <= d[16*s+:16]; endmodule

module crossbar16x4x24(input [16*24-1:0] d, input [15:0] s, output [95:0] q);
  wire [23:0] a [0:15]; genvar i;
  generate for(i=0;i<16;i=i+1) begin assign a[i]=d[24*i+:24]; end
  for(i=0;i<4;i=i+1) begin assign q[24*i+:24]=a[s[4*i+:4]]; end endgenerate
endmodule

module tree8x8(input clk, input [63:0] d, output reg signed [10:0] q);
  reg signed [8:0] l [0:3]; reg signed [9:0] m [0:1]; integer i;
  always @(posedge clk) begin for(i=0;i<4;i=i+1) l[i]<=$signed(d[16*i+:8])+$signed(d[16*i+8+:8]); for(i=0;i<2;i=i+1) m[i]<=l[2*i]+l[2*i+1]; q<=m[0]+m[1]; end
endmodule

module serial16x8(input clk, input rst, input last, input [127:0] w, input [15:0] b, output reg signed [31:0] acc);
  reg signed [8:0] l [0:7]; reg signed [9:0] m [0:3]; reg signed [10:0] n [0:1]; reg signed [11:0] s; integer i;
  always @(posedge clk) begin
   for(i=0;i<8;i=i+1) l[i]<= (b[2*i] ? $signed(w[16*i+:8]) : 9'sd0) + (b[2*i+1] ? $signed(w[16*i+8+:8]) : 9'sd0);
   for(i=0;i<4;i=i+1) m[i]<=l[2*i]+l[2*i+1]; for(i=0;i<2;i=i+1) n[i]<=m[2*i]+m[2*i+1]; s<=n[0]+n[1];
   if(rst) acc<=0; else acc <= last ? (acc<<<1) - s : (acc<<<1)+s; end
endmodule

// N:M lane: 2:4 with 8-bit activations, 8-bit weights, DSP MAC, registered weight, index and activations
module lane2of4(input clk, input rst, input en, input ld, input signed [7:0] wi, input [1:0] ii, input [31:0] x, output reg signed [31:0] acc);
  reg signed [7:0] w; reg [1:0] i; reg [31:0] xr;
  always @(posedge clk) begin if(ld) begin w<=wi; i<=ii; end xr<=x; end
  reg signed [7:0] a; always @* case(i) 0:a=xr[7:0];1:a=xr[15:8];2:a=xr[23:16];3:a=xr[31:24]; endcase
  always @(posedge clk) if(rst) acc<=0; else if(en) acc<=acc+w*a;
endmodule

// bit-fusion brick: 2x2 with sign bits
module brick(input [1:0] x, input [1:0] y, input sx, input sy, output signed [5:0] p);
  wire signed [2:0] a={sx&x[1],x}; wire signed [2:0] b={sy&y[1],y}; assign p=a*b;
endmodule

module fusion_unit(input clk, input rst, input [31:0] x, input [31:0] y, input [31:0] sg, input [1:0] m, output reg signed [31:0] acc);
  wire signed [5:0] p [0:15]; reg signed [5:0] r[0:15]; genvar i; integer j;
  generate for(i=0;i<16;i=i+1) brick b(x[2*i+:2],y[2*i+:2],sg[i],sg[16+i],p[i]); endgenerate
  reg signed [8:0] u[0:3]; reg signed [10:0] v[0:3]; reg signed [11:0] g[0:3]; reg signed [16:0] q0; reg signed [20:0] q1; reg signed [21:0] s;
  always @(posedge clk) begin
   for(j=0;j<16;j=j+1) r[j]<=p[j];
   for(j=0;j<4;j=j+1) begin u[j] <= r[4*j] + (m[0] ? $signed({r[4*j+1],2'b0}) : r[4*j+1]);
     v[j] <= (m[0] ? $signed({r[4*j+2],2'b0}) : r[4*j+2]) + (m[0] ? $signed({r[4*j+3],4'b0}) : r[4*j+3]);
     g[j] <= u[j]+v[j]; end
   q0 <= g[0] + (m[1] ? $signed({g[1],4'b0}) : g[1]);
   q1 <= (m[1] ? $signed({g[2],4'b0}) : g[2]) + (m[1] ? $signed({g[3],8'b0}) : g[3]);
   s <= q0+q1;
   if(rst) acc<=0; else acc<=acc+s; end
endmodule

// forwarding adder: two 2:1 operand muxes, registered
module fan_adder(input clk, input sa, input sb, input [31:0] a, input [31:0] b, input [31:0] c, input [31:0] d, output reg [31:0] q);
  always @(posedge clk) q <= (sa ? a : b) + (sb ? c : d);
endmodule

// 2x2 switch of 8 bits, registered
module switch2(input clk, input s, input [7:0] a, input [7:0] b, output reg [7:0] x, output reg [7:0] y);
  always @(posedge clk) begin x <= s ? b : a; y <= s ? a : b; end
endmodule

// two 8-bit products in one slice, two accumulators
module packed2x8(input clk, input rst, input signed [7:0] w0, input signed [7:0] w1, input signed [7:0] a, output reg signed [31:0] s0, output reg signed [31:0] s1);
  wire signed [24:0] x = ($signed(w1) <<< 16) + w0;
  reg signed [24:0] xr; reg signed [7:0] ar; reg signed [32:0] p;
  always @(posedge clk) begin xr<=x; ar<=a; p<=xr*ar; 
   if(rst) begin s0<=0; s1<=0; end else begin s0<=s0+$signed(p[15:0]); s1<=s1+$signed(p[31:16])+p[15]; end end
endmodule
